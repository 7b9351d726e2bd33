"""The edges of a network that are kept: all of them, or the strongest of each source or target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..arrays import Array, Codes, Ids

LEFT_OUT = np.float32(-1)  # in the place of a probability


@dataclass(frozen=True)
class BlockEdges:
    """Edges of a network, by source, the strongest of each source first.

    Attributes:
        source, target: int32 ``[n]``, places in the lists of sources and of targets.
        probability: float32 ``[n]``.
    """

    source: Codes
    target: Codes
    probability: Array

    def __len__(self) -> int:
        return len(self.source)

    def rows(self, chosen: NDArray[np.bool_] | slice) -> BlockEdges:
        """Some of them, in the same order; `chosen` is a mask ``[n]`` or a slice."""
        return BlockEdges(self.source[chosen], self.target[chosen], self.probability[chosen])


def strongest(probabilities: Array, first: int, count: int | None) -> BlockEdges:
    """The edges of a block ``[S, Q]`` that are not `LEFT_OUT`, and of each source the `count` strongest at most.

    Args:
        probabilities: of the block.
        first: place of its first source in the list.
        count: None keeps all.
    """
    targets, lengths = [], []
    for row in probabilities:
        target = np.flatnonzero(row >= 0).astype(np.int32)
        value = row[target]
        if count is not None and count < len(target):
            least = np.partition(value, len(value) - count)[len(value) - count]
            kept = value > least
            kept[np.flatnonzero(value == least)[: count - int(kept.sum())]] = True
            target, value = target[kept], value[kept]
        targets.append(target[np.argsort(-value, kind="stable")])
        lengths.append(len(target))
    source = np.repeat(np.arange(len(targets), dtype=np.int32), lengths)
    target = np.concatenate(targets)
    return BlockEdges(source + np.int32(first), target, probabilities[source, target])


class TargetCut:
    """The strongest sources of each target, while the sources come block by block.

    Args:
        targets: Q, their number.
        count: number of sources of each that are kept.

    Attributes:
        floor: float32 ``[Q]``, the least probability that was among the `count` strongest so far.
    """

    def __init__(self, targets: int, count: int) -> None:
        self._best = np.full((targets, count), LEFT_OUT)
        self.floor = np.full(targets, LEFT_OUT)

    def __len__(self) -> int:
        """Edges kept in the end."""
        return int((self._best >= 0).sum())

    def thin(self, probabilities: Array) -> None:
        """Leave edges that are surely too weak out of a block ``[S, Q]``; may lag behind `admit`, in another thread."""
        probabilities[probabilities <= self.floor] = LEFT_OUT

    def admit(self, edges: BlockEdges) -> BlockEdges:
        """Take the next block into account; its edges that are among the strongest so far.

        A block of edges that were admitted in its turn gives the same edges, and the same `floor`.
        """
        edges = edges.rows(edges.probability > self.floor[edges.target])  # not as strong: earlier sources go first
        if len(edges) == 0:
            return edges
        place = _occurrence(edges.target)
        rows, row = np.unique(edges.target, return_inverse=True)
        new = np.full((len(rows), int(place.max()) + 1), LEFT_OUT)
        new[row, place] = edges.probability
        merged = np.concatenate([self._best[rows], new], axis=1)
        merged.partition(new.shape[1], axis=1)
        self._best[rows] = merged[:, new.shape[1] :]
        self.floor[rows] = merged[:, new.shape[1]]
        return edges.rows(edges.probability >= self.floor[edges.target])

    def finish(self, parts: Iterator[BlockEdges]) -> Iterator[BlockEdges]:
        """All admitted edges, block by block in the order of the sources, cut to the strongest of each target."""
        room = self._best.shape[1] - (self._best > self.floor[:, None]).sum(1)  # for edges as strong as the floor
        for part in parts:
            floor = self.floor[part.target]
            kept = part.probability > floor
            tied = np.flatnonzero(part.probability == floor)
            at = part.target[tied]
            kept[tied[_occurrence(at) < room[at]]] = True
            np.subtract.at(room, at, 1)
            yield part.rows(kept)


def _occurrence(codes: Codes) -> Ids:
    """Number of equal elements that stand before each one."""
    return pl.DataFrame({"code": codes}).select(pl.int_range(pl.len()).over("code")).to_series().to_numpy()
