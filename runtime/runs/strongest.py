"""The edges of a network that are kept: all of them, or the strongest of each source or target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array, Codes

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
        """Take the next block into account; its edges that are among the strongest so far."""
        above = edges.probability > self.floor[edges.target]  # not as strong: earlier sources go first
        edges = edges.rows(above)
        self.add(edges)
        return edges.rows(edges.probability >= self.floor[edges.target])

    def add(self, edges: BlockEdges) -> None:
        """Take admitted edges into account."""
        if len(edges) == 0:
            return
        targets = edges.target
        place = _occurrence(targets)
        rows, row = np.unique(targets, return_inverse=True)
        new = np.full((len(rows), int(place.max()) + 1), LEFT_OUT)
        new[row, place] = edges.probability
        merged = np.concatenate([self._best[rows], new], axis=1)
        merged.partition(new.shape[1], axis=1)
        self._best[rows] = merged[:, new.shape[1] :]
        self.floor[rows] = merged[:, new.shape[1]]

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


def _occurrence(codes: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Number of equal elements that stand before each one."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(codes) else order
    out = np.empty(len(codes), np.intp)
    out[order] = np.arange(len(codes)) - np.repeat(first, np.diff(np.append(first, len(codes))))
    return out
