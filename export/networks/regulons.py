"""Regulons: the sources of a network, each with its targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array, Ids

from .network import Network


@dataclass(frozen=True)
class Regulons:
    """R sources with their targets, rising by source and by target.

    Attributes:
        genes: G names.
        source: int64 ``[R]`` into `genes`.
        indptr: int64 ``[R + 1]``.
        target: int64 ``[E]`` into `genes`.
        weight: float32 ``[E]``.
    """

    genes: list[str]
    source: Ids
    indptr: Ids
    target: Ids
    weight: Array

    @classmethod
    def of(cls, network: Network, weights: Array | None, names: Sequence[str]) -> Regulons:
        """The regulons of a network over `names`; their genes are those that have an edge."""
        used = np.unique(np.concatenate([network.sources, network.targets]))
        own = network.among(used)
        source, first = np.unique(own.sources, return_index=True)
        weight = np.ones(len(own), np.float32) if weights is None else weights.astype(np.float32)
        return cls([names[row] for row in used], source, np.append(first, len(own)), own.targets, weight)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def sizes(self) -> Ids:
        """Number of targets of each, int64 ``[R]``."""
        return np.diff(self.indptr)

    @cached_property
    def of_edge(self) -> Ids:
        """The regulon of every edge, int64 ``[E]``."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @cached_property
    def network(self) -> Network:
        """All edges, over `genes`; in the order of `target` and `of_edge`."""
        return Network(self.source[self.of_edge], self.target, len(self.genes))

    def kept(self, regulons: NDArray[np.bool_]) -> Regulons:
        """Some of the regulons, by a mask ``[R]``."""
        edges = regulons[self.of_edge]
        network = self.network
        chosen = Network(network.sources[edges], network.targets[edges], network.genes)
        return Regulons.of(chosen, self.weight[edges], self.genes)
