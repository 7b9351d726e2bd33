"""The results of a pair list as a table, in the list's order or by merged rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ..arrays import Array, Codes
from ..files.pairs import PairList
from ..files.tables import CHUNK_ROWS, ENDS, Batch, distinct
from ..genes.pairs import ResolvedPairs
from .ranks import merged_ranks


@dataclass(frozen=True)
class ResultTable:
    """Results of a pair list.

    Attributes:
        pairs: the list as written.
        rows: int32 ``[n]``, the rows of the list that are written, in this order.
        results: float32 ``[N, C]``, ``results[row]`` holds one value per column; may lie on disk.
        columns: names of the result columns.
        before, after: other columns, N rows each, that stand before and behind the results.
    """

    pairs: PairList
    rows: Codes
    results: Array
    columns: Sequence[str]
    before: pl.DataFrame = field(default_factory=pl.DataFrame)
    after: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def genes(self) -> Sequence[str]:
        return self.pairs.genes

    @property
    def schema(self) -> pl.Schema:
        results = {name: pl.Float32() for name in self.columns}
        return pl.Schema({**self.before.schema, **results, **self.after.schema})

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self) -> Iterator[Batch]:
        for start in range(0, len(self), CHUNK_ROWS):
            rows = self.rows[start : start + CHUNK_ROWS]
            values = np.asarray(self.results[rows])
            results = [pl.Series(name, values[:, index]) for index, name in enumerate(self.columns)]
            before, after = ([column.gather(rows) for column in each] for each in (self.before, self.after))
            yield self.pairs.source[rows], self.pairs.target[rows], pl.DataFrame([*before, *results, *after])


def result_table(
    resolved: ResolvedPairs,
    results: Array,
    columns: Sequence[str],
    *,
    keep: bool = True,
    rank_by: str | None = None,
) -> ResultTable:
    """The results of a pair list in the user's order, or sorted by merged rank.

    Args:
        resolved: the list.
        results: float32 ``[N, C]``, see `ResultTable`; the first column is the probability.
        columns: names of the result columns; where the list has a column of that name, ``_ugrn`` is added.
        keep: carry the other columns of the list along.
        rank_by: column of the list whose ranks are merged with those of the probability; None: no ranks.
    """
    pairs, rows = resolved.pairs, resolved.accepted_rows()
    before = pairs.extra if keep else pl.DataFrame()
    names = distinct(columns, [*ENDS, *before.columns], "_ugrn")
    if rank_by is None:
        return ResultTable(pairs, rows, results, names, before)
    ranks = merged_ranks(pairs.extra[rank_by].gather(rows), np.asarray(results[rows, 0]))
    order = np.argsort(ranks[-1].to_numpy(), kind="stable")
    titles = distinct([rank.name for rank in ranks], [*ENDS, *before.columns, *names], "_ugrn")
    after = np.full((len(titles), len(pairs)), np.nan)
    after[:, rows] = ranks
    return ResultTable(pairs, rows[order], results, names, before, pl.DataFrame(dict(zip(titles, after, strict=True))))
