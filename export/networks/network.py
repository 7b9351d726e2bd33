"""Networks as edges between genes of one list or as regulons, and the controls that stand beside a network.

A control says what a network's edges are worth: one of the same degrees whose edges are drawn at random, or one whose
sources keep their number of targets and get those that are nearest to them by another measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array, Ids

ROUNDS = 20  # of trades, each of all sources

Matrix = NDArray[np.floating[Any]]
Weights = Array | None


@dataclass(frozen=True)
class Network:
    """Distinct directed edges without self-loops, by source and target.

    Attributes:
        sources, targets: int64 ``[E]``, places in a list of genes.
        genes: G, how long that list is.
    """

    sources: Ids
    targets: Ids
    genes: int

    @classmethod
    def of(cls, sources: Ids | Sequence[int], targets: Ids | Sequence[int], genes: int) -> Network:
        """The network of some edges ``[E]``, less repeated ones and self-loops."""
        left, right = (np.asarray(each, np.int64) for each in (sources, targets))
        keys = np.unique((left * genes + right)[left != right])
        return cls(keys // genes, keys % genes, genes)

    def __len__(self) -> int:
        return len(self.sources)

    def keys(self) -> Ids:
        """One number per edge, rising, int64 ``[E]``."""
        return np.asarray(self.sources * self.genes + self.targets, np.int64)

    def among(self, places: Ids) -> Network:
        """The edges between some genes, ``[g]`` places, numbered by their order in `places`."""
        row = np.full(self.genes, -1)
        row[places] = np.arange(len(places))
        left, right = row[self.sources], row[self.targets]
        kept = (left >= 0) & (right >= 0)
        return Network.of(left[kept], right[kept], len(places))


@dataclass(frozen=True)
class WeightedNetwork:
    """A network, and the weights of its edges.

    Attributes:
        network: edges by key order.
        weights: float32 ``[E]`` in the same order; None where all count the same.
    """

    network: Network
    weights: Weights = None


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
        """The regulons of a network over `names`, edges ``[E]``; their genes are those that have an edge."""
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


def rewired(network: Network, random: np.random.Generator) -> Network:
    """A random network in which every gene has as many targets and as many regulators.

    In every round all sources are paired at random, and two that are paired throw the targets together that only one of
    them has and deal them out anew, each as many as it had; a source that is a target of the other keeps out of it. So
    no edge repeats another or leads to itself at any time, however dense the network is (global curveball trades,
    arXiv 1609.05137).

    Args:
        network: whose degrees stay.
        random: deals.
    """
    if len(network) == 0:
        return network
    sources, starts = np.unique(network.sources, return_index=True)
    rows = [set(each.tolist()) for each in np.split(network.targets, starts[1:])]
    for _ in range(ROUNDS):
        order = random.permutation(len(sources)).tolist()
        for one, other in zip(order[::2], order[1::2], strict=False):
            left = rows[one] - rows[other] - {int(sources[other])}
            right = rows[other] - rows[one] - {int(sources[one])}
            pool = random.permutation(sorted(left | right)).tolist()
            rows[one] = rows[one] - left | set(pool[: len(left)])
            rows[other] = rows[other] - right | set(pool[len(left) :])
    return Network.of(network.sources, [target for row in rows for target in row], network.genes)


def nearest(likeness: Matrix, network: Network) -> Network:
    """The network in which every source of another has as many targets: those that are most like it.

    Args:
        likeness: ``[G, G]``, e.g. absolute correlations; the larger, the more alike.
        network: whose sources and whose numbers of targets count.
    """
    counts = np.bincount(network.sources, minlength=network.genes)
    pairs = [
        (np.full(counts[source], source), _most_alike(likeness[source], source, int(counts[source])))
        for source in np.flatnonzero(counts).tolist()
    ]
    if not pairs:
        return network
    left, right = (np.concatenate(each) for each in zip(*pairs, strict=True))
    return Network.of(left, right, network.genes)


def _most_alike(row: Matrix, own: int, count: int) -> Ids:
    """The genes that a source is most like, other than itself, ``[count]``."""
    far = -row.astype(np.float64)
    far[own] = np.inf
    return np.argsort(far, kind="stable")[:count]


def coexpression(values: Matrix) -> Array:
    """Absolute Pearson correlations ``[G, G]`` of the columns of ``[N, G]``; 0 where a gene does not vary."""
    centred = values - values.mean(0)
    norm = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(norm > 0, norm, 1.0)
    found = unit.T @ unit
    return np.asarray(np.abs(found, out=found), np.float32)


def perturbed(
    network: Network, links: Network, share: float, random: np.random.Generator, weights: Weights = None
) -> tuple[Network, Weights]:
    """A network with a share of its edges replaced by links, e.g. of co-expression (GRNFormer's edge perturbation).

    Args:
        network: whose number of edges stays, where there are links enough.
        links: to draw from, without putting back; those that are edges already replace nothing.
        share: of the edges that are replaced.
        weights: ``[..., E]``, of the edges; None where all count the same.

    Returns:
        The network, and its weights: a link counts as much as an edge does on average.
    """
    fresh = np.flatnonzero(~np.isin(links.keys(), network.keys()))
    count = min(round(share * len(network)), len(fresh))
    kept, drawn = random.permutation(len(network))[count:], random.choice(fresh, count, replace=False)
    ends = [np.concatenate([getattr(network, end)[kept], getattr(links, end)[drawn]]) for end in ("sources", "targets")]
    order = np.argsort(ends[0] * network.genes + ends[1], kind="stable")
    changed = Network(ends[0][order], ends[1][order], network.genes)
    if weights is None:
        return changed, None
    added = np.repeat(weights.mean(-1, keepdims=True, dtype=np.float32), count, axis=-1)
    return changed, np.concatenate([weights[..., kept], added], axis=-1)[..., order]
