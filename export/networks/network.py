"""Networks as edges between genes of one list, and the controls that stand beside a network.

A control says what a network's edges are worth: one of the same degrees whose edges are drawn at random, or one whose
sources keep their number of targets and get those that are nearest to them by another measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Matrix = NDArray[np.floating[Any]]
Weights = NDArray[np.float32] | None


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
        """The network of some edges, less repeated ones and self-loops."""
        left, right = (np.asarray(each, np.int64) for each in (sources, targets))
        keys = np.unique((left * genes + right)[left != right])
        return cls(keys // genes, keys % genes, genes)

    def __len__(self) -> int:
        return len(self.sources)

    def keys(self) -> Ids:
        """One number per edge, rising."""
        return np.asarray(self.sources * self.genes + self.targets, np.int64)

    def among(self, places: Ids) -> Network:
        """The edges between some genes, numbered by their place in `places`."""
        row = np.full(self.genes, -1)
        row[places] = np.arange(len(places))
        left, right = row[self.sources], row[self.targets]
        kept = (left >= 0) & (right >= 0)
        return Network.of(left[kept], right[kept], len(places))


@dataclass(frozen=True)
class WeightedNetwork:
    """A network, and what its edges count.

    Attributes:
        network: edges by key order.
        weights: float32 ``[E]`` in the same order; None where all count the same.
    """

    network: Network
    weights: Weights = None


def rewired(network: Network, random: np.random.Generator, rounds: int = 100) -> Network:
    """A random network in which every gene has as many targets and as many regulators.

    The targets are dealt out anew; edges that are there twice then, or lead to themselves, swap targets with edges
    drawn at random, where both are new edges then, until none is left (the configuration model, as a simple graph).

    Raises:
        ValueError: the degrees leave no simple graph that is found in `rounds` rounds.
    """
    sources, targets = network.sources, random.permutation(network.targets)
    for _ in range(rounds):
        keys = sources * network.genes + targets
        first = np.zeros(len(keys), bool)
        first[np.unique(keys, return_index=True)[1]] = True
        wrong = np.flatnonzero(~first | (sources == targets))
        if len(wrong) == 0:
            return Network.of(sources, targets, network.genes)
        there = set(keys.tolist())
        for edge, other in zip(wrong.tolist(), random.integers(len(keys), size=len(wrong)).tolist(), strict=True):
            swapped = sources[[edge, other]] * network.genes + targets[[other, edge]]
            loops = (sources[[edge, other]] == targets[[other, edge]]).any()
            if not loops and swapped[0] != swapped[1] and there.isdisjoint(swapped.tolist()):
                targets[[edge, other]] = targets[[other, edge]]
                there.update(swapped.tolist())
    message = f"no random network of these degrees was found in {rounds} rounds: {len(wrong)} edges repeat others"
    raise ValueError(message)


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
    """The genes a source is most like, other than itself."""
    far = -row.astype(np.float64)
    far[own] = np.inf
    return np.argsort(far, kind="stable")[:count]


def coexpression(values: Matrix) -> NDArray[np.float32]:
    """Absolute Pearson correlations ``[G, G]`` of the columns of ``[N, G]``; 0 where a gene does not vary."""
    centred = values - values.mean(0)
    norm = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(norm > 0, norm, 1.0)
    found = unit.T @ unit
    return np.asarray(np.abs(found, out=found), np.float32)


def cosine(vectors: Matrix) -> NDArray[np.float32]:
    """Cosines ``[G, G]`` of the rows of ``[G, E]``; 0 where a row is zero."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norm > 0, norm, 1.0)
    return (unit @ unit.T).astype(np.float32)


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
