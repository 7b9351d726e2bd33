"""Scored pairs, batch by batch, as results are written from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import polars as pl

from ..arrays import Codes

CHUNK_ROWS = 1 << 17
ENDS = ("source", "target")

Batch = tuple[Codes, Codes, pl.DataFrame]


class EdgeTable(Protocol):
    """Scored pairs that are read batch by batch, once or more."""

    @property
    def genes(self) -> Sequence[str]:
        """The distinct names, G."""

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns beside source and target."""

    def __len__(self) -> int:
        """Number of pairs."""

    def batches(self) -> Iterator[Batch]:
        """Sources and targets, int32 ``[n]`` into `genes`, and the other columns, n rows of `schema`."""


def distinct(names: Iterable[str], taken: Iterable[str], suffix: str) -> list[str]:
    """Names with `suffix` added, once or more, to those that are taken or came before."""
    seen, found = set(taken), []
    for name in names:
        while name in seen:
            name += suffix
        seen.add(name)
        found.append(name)
    return found


def frames(table: EdgeTable) -> Iterator[pl.DataFrame]:
    """A table in parts: source, target and the other columns."""
    genes = pl.Series(table.genes, dtype=pl.String)
    for batch in table.batches():
        yield named(genes, batch)


def named(genes: Sequence[str] | pl.Series, batch: Batch) -> pl.DataFrame:
    """A batch with the names that its sources and targets point to."""
    *codes, columns = batch
    names = pl.Series(genes, dtype=pl.String)
    ends = [names.gather(each).alias(end) for each, end in zip(codes, ENDS, strict=True)]
    return pl.DataFrame([*ends, *columns])


def frame(table: EdgeTable) -> pl.DataFrame:
    """A whole table in memory."""
    return pl.concat([pl.DataFrame(schema=frame_schema(table)), *frames(table)])


def frame_schema(table: EdgeTable) -> pl.Schema:
    """Names and types of all columns."""
    return pl.Schema({**dict.fromkeys(ENDS, pl.String()), **table.schema})
