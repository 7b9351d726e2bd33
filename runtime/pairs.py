"""Pair lists: resolving gene names, and setting aside what cannot be scored.

Pairs that cannot be scored are rejected with a reason, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from .errors import PairListError
from .genes import GeneNames
from .pandas_frames import FrameLike

REASONS = (
    "",
    "empty name",
    "unknown source",
    "unknown target",
    "unknown source and target",
    "self-pair",
    "duplicate",
)
EMPTY, UNKNOWN_SOURCE, SELF, DUPLICATE = 1, 2, 5, 6

Codes = NDArray[np.int32]
PairsLike = Path | str | pl.DataFrame | FrameLike | Iterable[tuple[str, str]]


@dataclass(frozen=True)
class PairList:
    """A pair list as the user wrote it.

    Attributes:
        genes: the G distinct names.
        source, target: int32 ``[N]`` into `genes`.
        header: whether the first line of a text file was read as column names; None for other inputs.
        extra: the other columns of the list, N rows, or no column at all.
    """

    genes: list[str]
    source: Codes
    target: Codes
    header: bool | None = None
    extra: pl.DataFrame = field(default_factory=pl.DataFrame)

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class ResolvedPairs:
    """A pair list with every name looked up.

    Attributes:
        pairs: the list as written.
        ids: int32 ``[G]``, vocabulary row of each distinct name, -1 where unknown.
        reason: uint8 ``[N]`` into `REASONS`; 0 where the pair will be scored.
        sorted_rows: int32, rows of the pairs that will be scored, sorted by source id, then target id.
    """

    pairs: PairList
    ids: Codes
    reason: NDArray[np.uint8]
    sorted_rows: NDArray[np.int32]

    @property
    def accepted(self) -> int:
        """How many pairs will be scored."""
        return int((self.reason == 0).sum())

    def counts(self) -> dict[str, int]:
        """Rejected pairs by reason."""
        found = np.bincount(self.reason, minlength=len(REASONS))
        return {reason: int(n) for reason, n in zip(REASONS[1:], found[1:], strict=True) if n}

    def require(self, names: GeneNames, strict: bool = False) -> None:
        """Refuse a list of which nothing can be scored or, with `strict`, not everything.

        Raises:
            PairListError: with the counts, and the first unknown genes with near matches.
        """
        if self.accepted and not (strict and self.counts()):
            return
        why = "strict asks for none of these" if self.accepted else "none is left to score"
        message = (
            f"{len(self.pairs) - self.accepted} of {len(self.pairs)} pairs cannot be scored "
            f"({say_counts(self.counts())}){names.say_unknown(self.unknown())}; {why}: "
            "expected gene symbols, one source and one target per line"
        )
        raise PairListError(message)

    def unknown(self) -> list[str]:
        """The distinct names that are not in the vocabulary."""
        return [name for name, row in zip(self.pairs.genes, self.ids, strict=True) if row < 0 and name]

    def accepted_rows(self) -> NDArray[np.int32]:
        """Rows of the pairs that will be scored, in the user's order."""
        return np.flatnonzero(self.reason == 0).astype(np.int32)

    def gene_ids(self, rows: NDArray[np.int32]) -> tuple[Codes, Codes]:
        """Vocabulary rows of the sources and of the targets of some pairs."""
        return self.ids[self.pairs.source[rows]], self.ids[self.pairs.target[rows]]

    def rejects(self, names: GeneNames) -> pl.DataFrame:
        """The rejected pairs: row (1 is the first pair), source, target, reason, and near matches."""
        rows = np.flatnonzero(self.reason)
        written = np.array([*self.pairs.genes, ""], dtype=object)
        near = names.near_matches(self.unknown())
        source, target = written[self.pairs.source[rows]], written[self.pairs.target[rows]]
        return pl.DataFrame(
            {
                "row": rows + 1,
                "source": source,
                "target": target,
                "reason": [REASONS[code] for code in self.reason[rows]],
                "did_you_mean": [
                    "; ".join(filter(None, (near.get(s), near.get(t)))) for s, t in zip(source, target, strict=True)
                ],
            },
            schema={
                "row": pl.Int64,
                "source": pl.String,
                "target": pl.String,
                "reason": pl.String,
                "did_you_mean": pl.String,
            },
        )


def say_counts(counts: Mapping[str, int]) -> str:
    """Rejected pairs by reason, in words."""
    return ", ".join(f"{number} {reason}" for reason, number in counts.items())


def resolve_pairs(pairs: PairList, names: GeneNames) -> ResolvedPairs:
    """Look up every name and mark the pairs that cannot be scored."""
    ids = names.ids(pairs.genes)
    source, target = ids[pairs.source], ids[pairs.target]
    empty = np.array([not name for name in pairs.genes], bool)
    reason = np.zeros(len(pairs), np.uint8)
    reason[source == target] = SELF
    unknown = (source < 0).astype(np.uint8) + 2 * (target < 0).astype(np.uint8)
    reason[unknown > 0] = UNKNOWN_SOURCE - 1 + unknown[unknown > 0]
    reason[empty[pairs.source] | empty[pairs.target]] = EMPTY
    rows = np.flatnonzero(reason == 0).astype(np.int32)
    key = source[rows].astype(np.int64) * len(names) + target[rows]
    order = np.argsort(key, kind="stable")
    key, rows = key[order], rows[order]
    again = np.concatenate([[False], key[1:] == key[:-1]]) if len(key) else np.zeros(0, bool)
    reason[rows[again]] = DUPLICATE
    return ResolvedPairs(pairs, ids, reason, rows[~again])


def write_pair_batches(resolved: ResolvedPairs, path: Path) -> None:
    """Write the accepted pairs as HDF5 pair batches, sorted by source.

    Layout: ``/genes/symbol``, ``/genes/id``; ``/pairs/source``, ``/pairs/target`` (int32 into genes),
    ``/pairs/row`` (position in the user's list); ``/sources/indptr``, so that a block is a slice.
    """
    pairs, rows = resolved.pairs, resolved.sorted_rows
    packed = {"compression": "lzf", "shuffle": True, "fletcher32": True, "chunks": True}
    with h5py.File(path, "w") as file:
        file.create_dataset("genes/symbol", data=pairs.genes, dtype=h5py.string_dtype())
        file.create_dataset("genes/id", data=resolved.ids)
        file.create_dataset("pairs/source", data=pairs.source[rows], **packed)
        file.create_dataset("pairs/target", data=pairs.target[rows], **packed)
        file.create_dataset("pairs/row", data=rows, **packed)
        file.create_dataset("sources/indptr", data=source_bounds(resolved.ids[pairs.source[rows]]))


def source_bounds(sorted_sources: Codes) -> NDArray[np.int64]:
    """``[S + 1]`` bounds of the runs of equal values in a sorted array."""
    change = np.flatnonzero(np.diff(sorted_sources)) + 1
    return np.concatenate([[0], change, [len(sorted_sources)]]).astype(np.int64)[
        : 1 if not len(sorted_sources) else None
    ]
