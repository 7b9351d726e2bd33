"""The networks of an adapter as its message passing sees them: edges as tensors, and edges perturbed in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ugrn.runtime.arrays import Array, Ids

from ...model.adaptable import AdaptableBackbone
from ...networks.network import Network, WeightedNetwork, Weights, coexpression, nearest, perturbed, rewired
from .graph_adapter import EdgeTensors, GraphAdapter

Structures = Callable[[Tensor], Tensor]  # gene ids [N] to structures [N, s]


@dataclass(frozen=True)
class Level:
    """One network, the weights of its edges, and the links that stand in for edges in training."""

    network: Network
    weights: Weights
    links: Network | None = None

    def edges(self) -> EdgeTensors:
        return _edges(self.network, self.weights)

    def perturbed(self, share: float, random: np.random.Generator) -> EdgeTensors:
        """A share of the edges replaced by links."""
        if self.links is None or share == 0:
            return self.edges()
        return _edges(*perturbed(self.network, self.links, share, random, self.weights))


@dataclass(frozen=True)
class Levels:
    """The networks of an adapter, numbered by their own genes.

    Attributes:
        genes: int64 ``[G]``, rising ids of the genes that have an edge in any of the networks.
        each: the networks.
    """

    genes: Ids
    each: tuple[Level, ...]

    @classmethod
    def of(cls, files: Sequence[WeightedNetwork]) -> Levels:
        """Number the genes of some networks."""
        genes = np.unique(np.concatenate([part for f in files for part in (f.network.sources, f.network.targets)]))
        return cls(genes, tuple(Level(f.network.among(genes), f.weights) for f in files))

    def with_links(self, values: Array, measured: Ids) -> Levels:
        """The same with links of co-expression: of every source as many of the strongest as it has edges.

        Args:
            values: ``[N, M]`` of cells.
            measured: ``[M]``, ids of the genes that they have.
        """
        places = np.flatnonzero(np.isin(self.genes, measured))
        order = np.argsort(measured)
        columns = order[np.searchsorted(measured, self.genes[places], sorter=order)]
        likeness = coexpression(values[:, columns])
        return replace(self, each=tuple(replace(each, links=_links(each, places, likeness)) for each in self.each))

    def structures(
        self,
        backbone: AdaptableBackbone,
        adapter: GraphAdapter,
        edges: Sequence[EdgeTensors],
        also: Sequence[Tensor] = (),
    ) -> Structures:
        """Structures ``[N, s]`` of the networks' genes, and of some others, which have no neighbours.

        Args:
            edges: of every network, numbered as here.
            also: ids of genes, of which some may be among the networks'.
        """
        others = np.setdiff1d(np.concatenate([np.zeros(0, np.int64), *(each.numpy() for each in also)]), self.genes)
        genes = np.concatenate([self.genes, others])
        place = np.full(len(backbone.symbols), -1)
        place[genes] = np.arange(len(genes))
        rows = torch.from_numpy(place)
        found = adapter.structures(backbone.gene_tokens(torch.from_numpy(genes)), edges)
        return lambda asked: found.index_select(0, rows[asked])


@torch.no_grad()
def structure_table(backbone: AdaptableBackbone, adapter: GraphAdapter, files: Sequence[WeightedNetwork]) -> Tensor:
    """Structures ``[V, s]`` of all genes."""
    tokens = backbone.gene_tokens(torch.arange(len(backbone.symbols)))
    return adapter.structures(tokens, [_edges(each.network, each.weights) for each in files])


def without_edges(file: WeightedNetwork) -> WeightedNetwork:
    """A network of the same genes in which none has a neighbour."""
    none = np.zeros(0, np.int64)
    return replace(file, network=Network.of(none, none, file.network.genes), weights=None)


def randomised(file: WeightedNetwork, random: np.random.Generator) -> WeightedNetwork:
    """A random network of the same degrees, the weights dealt out anew."""
    network = rewired(file.network, random)
    return replace(file, network=network, weights=None if file.weights is None else random.permutation(file.weights))


def _links(level: Level, places: Ids, likeness: Array) -> Network:
    found = nearest(likeness, level.network.among(places))
    return Network.of(places[found.sources], places[found.targets], level.network.genes)


def _edges(network: Network, weights: Weights) -> EdgeTensors:
    sources, targets = torch.from_numpy(network.sources), torch.from_numpy(network.targets)
    return EdgeTensors(sources, targets, None if weights is None else torch.from_numpy(np.asarray(weights, np.float32)))
