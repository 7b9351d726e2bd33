"""The arms of a comparison: the same model with other networks, or with none.

``none``: the backbone alone, beta fixed at 0. ``no edges``: the adapter, in which no gene has a neighbour. ``random``:
ugrn's edges dealt out anew, every degree kept; a new draw for each seed. ``co-expression`` and ``text``: every gene
keeps its number of targets and gets those that are most like it, in the training cells or by the embedding of its
name. ``ugrn``: every gene's strongest targets. ``cell-type``: the same, scored in the state of the cell's group.
``cell-specific``: ugrn's edges, of which a cell has those of the regulons that are active in it. ``both``: the last two
side by side, their structures summed (GRNFormer, arXiv 2503.01682). ``random cell-type`` and so on: the edges of these
dealt out anew, where every gene has as many targets in every state, so that what a state says by itself, and the number
of parameters, are the same.

Shapes: G genes of the networks, E edges, N cells, S states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ugrn.export.backbones.adapted.graph_adapter import EdgeTensors
from ugrn.export.networks.network import Network, coexpression, nearest, perturbed, rewired
from ugrn.runtime.arrays import Array, Doubles

from .data import Rows
from .differences import ARMS, BOTH, RANDOM, UGRN

LEVELS = {"cell-type": ("by_group",), "cell-specific": ("by_cell",), BOTH: ("by_group", "by_cell")}


@dataclass(frozen=True)
class Wiring:
    """Edges as one network of an adapter reads them.

    Attributes:
        network: their union over all states.
        weights: ``[S, E]``, what an edge counts in a state; None: in all states the same.
        state: int64 ``[N]``, the state of every cell; None where there is one state.
    """

    network: Network
    weights: Array | None = None
    state: Rows | None = None

    def edges(self, cells: Rows | None = None) -> EdgeTensors:
        """As tensors, for some cells; their weights are ``[E]`` where all cells have the same, else ``[R, E]``."""
        sources, targets = (torch.tensor(each) for each in (self.network.sources, self.network.targets))
        if self.weights is None:
            return EdgeTensors(sources, targets)
        if self.state is None or cells is None:
            return EdgeTensors(sources, targets, torch.tensor(self.weights[0]))
        return EdgeTensors(sources, targets, torch.from_numpy(self.weights[self.state[cells]]))


@dataclass(frozen=True)
class ArmInputs:
    """The material of the arms of a data set, for all its splits.

    Attributes:
        ugrn: every gene's strongest targets.
        likeness: ``[G, G]``, cosines of the genes' names; None where there are no embeddings.
        by_group, by_cell: the networks of groups of cells, and of cells; None where there are none.
        measured: ``[N, G]``, expression of cells by which co-expression is told, NaN for a gene that is not measured;
            None where there are no cells.
        missing: arms that this data set has not, and why.
    """

    ugrn: Network
    likeness: Array | None = None
    by_group: Wiring | None = None
    by_cell: Wiring | None = None
    measured: Array | None = None
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that the data set has."""
        return tuple(arm for arm in ARMS if arm not in dict(self.missing))


@dataclass(frozen=True)
class Arm:
    """One arm of one split.

    Attributes:
        name: one of `ARMS`.
        wirings: of the adapter's networks; empty where the adapter is left out.
        links: of co-expression, by which a share of the edges is replaced in training; None where there are no cells.
    """

    name: str
    wirings: tuple[Wiring, ...]
    links: Network | None = None

    def perturbed(self, share: float, random: np.random.Generator) -> Arm:
        """The arm with a share of every network's edges replaced (GRNFormer's edge perturbation)."""
        if self.links is None or share == 0:
            return self
        found = [perturbed(each.network, self.links, share, random, each.weights) for each in self.wirings]
        states = [each.state for each in self.wirings]
        return replace(self, wirings=tuple(Wiring(*each, state) for each, state in zip(found, states, strict=True)))

    def edges(self, cells: Rows | None = None) -> list[EdgeTensors]:
        """The edges of every network, as tensors."""
        return [each.edges(cells) for each in self.wirings]


def make_arm(name: str, material: ArmInputs, train: Rows | None, seed: int) -> Arm:
    """An arm as one split has it.

    Args:
        name: one that `material` has.
        train: the training cells among those of `material.measured`; no other cell is looked at. None takes all.
        seed: of the random network, and of what co-expression leaves open.
    """
    if name == "none":
        return Arm(name, ())
    links = None
    if material.measured is not None:
        cells = material.measured if train is None else material.measured[train]
        links = nearest(_likeness(cells, np.random.default_rng([seed, 1])), material.ugrn)
    return Arm(name, tuple(_wirings(name, material, links, seed)), links)


def _wirings(name: str, material: ArmInputs, links: Network | None, seed: int) -> Iterator[Wiring]:
    ugrn = material.ugrn
    if name == "no edges":
        yield Wiring(Network.of([], [], ugrn.genes))
    elif name.startswith(RANDOM):
        random = np.random.default_rng([seed, 0])
        for wiring in _wirings(name.removeprefix(RANDOM).strip() or UGRN, material, links, seed):
            yield _dealt(wiring, random)
    elif name == "co-expression" and links is not None:
        yield Wiring(links)
    elif name == "text" and material.likeness is not None:
        yield Wiring(nearest(material.likeness, ugrn))
    elif name == UGRN:
        yield Wiring(ugrn)
    else:
        found = [getattr(material, level) for level in LEVELS.get(name, ())]
        if not found or None in found:
            message = f"these data have no arm {name!r}; they have {', '.join(material.arms)}"
            raise ValueError(message)
        yield from found


def _dealt(wiring: Wiring, random: np.random.Generator) -> Wiring:
    """Other edges of the same degrees; which of a source's edges a state has is drawn anew, not how many."""
    network = rewired(wiring.network, random)
    if wiring.weights is None:
        return replace(wiring, network=network)
    order = np.lexsort((random.random(len(network)), network.sources))
    return replace(wiring, network=network, weights=wiring.weights[:, order])


def of_states(networks: Sequence[Network], state: Rows) -> Wiring:
    """The networks of several states as one wiring.

    Args:
        networks: S, between the same genes.
        state: int64 ``[N]``, the state of every cell.
    """
    sources, targets = (np.concatenate([getattr(each, end) for each in networks]) for end in ("sources", "targets"))
    union = Network.of(sources, targets, networks[0].genes)
    weights = np.stack([np.isin(union.keys(), each.keys()) for each in networks])
    return Wiring(union, weights.astype(np.float32), state)


def describe(arm: Arm, ugrn: Network) -> dict[str, float]:
    """Sizes of an arm's networks: edges (mean over cells), genes with an edge, and the share of the edges that ugrn's
    network has too."""
    edges, shared, genes = 0.0, 0.0, np.zeros(ugrn.genes, bool)
    for wiring in arm.wirings:
        network = wiring.network
        counts = np.ones(len(network)) if wiring.weights is None else _mean_weights(wiring)
        edges += float(counts.sum())
        shared += float(counts[np.isin(network.keys(), ugrn.keys())].sum())
        for ends in (network.sources, network.targets):
            genes[ends[counts > 0]] = True
    return {"edges": edges, "genes": float(genes.sum()), "shared": shared / edges if edges else float("nan")}


def _mean_weights(wiring: Wiring) -> Doubles:
    """``[E]``, over cells."""
    weights = np.asarray(wiring.weights, np.float64)
    if wiring.state is None:
        return np.asarray(weights.mean(0))
    cells = np.bincount(wiring.state, minlength=len(weights))
    return np.asarray(cells @ weights / cells.sum())


def cosine(vectors: Array) -> Array:
    """Cosines ``[G, G]`` of the rows of ``[G, E]``; 0 where a row is zero."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norm > 0, norm, 1.0)
    return (unit @ unit.T).astype(np.float32)


def _likeness(cells: Array, random: np.random.Generator) -> Array:
    """Co-expression ``[G, G]``; genes that are not measured, or do not vary, are like others at random."""
    found = coexpression(np.nan_to_num(cells))
    return found + random.uniform(0, 1e-6, found.shape).astype(np.float32)
