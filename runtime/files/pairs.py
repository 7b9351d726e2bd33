"""Pair lists: CSV and TSV (also ``.gz``), Parquet, HDF5 pair batches, results as HDF5, data frames and tuples.

Text and Parquet are read chunk by chunk: a pair keeps two int32, each distinct name is held once, and the other
columns are kept as they are.

Pair batches are HDF5: ``/genes/symbol``, ``/genes/id``; ``/pairs/source``, ``/pairs/target`` (int32 into genes),
``/pairs/row`` (position in the user's list); ``/sources/indptr``, so that a block is a slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import h5py
import numpy as np
import polars as pl

from ..arrays import Codes, Ids
from ..errors import PairListError
from .hdf5 import GENES, PACKED, UNREADABLE_HDF5, point_into, read_genes, write_genes
from .pair_tables import pair_columns, parquet_chunks, text_chunks
from .pandas_frames import FrameLike, from_pandas
from .results import is_hdf5_result, read_hdf5
from .tables import ENDS, Batch
from .text import UNREADABLE_TABLE, is_readable

GENE_IDS, INDPTR = "genes/id", "sources/indptr"
SOURCE, TARGET, ROW = "pairs/source", "pairs/target", "pairs/row"

PairsLike = Path | str | pl.DataFrame | FrameLike | Iterable[tuple[str, str]]


@dataclass(frozen=True)
class PairList:
    """A pair list as the user wrote it.

    Attributes:
        genes: the G distinct names.
        source, target: int32 ``[N]`` into `genes`.
        header: True where the first line of a text file was read as column names; None for other inputs.
        extra: the other columns of the list, N rows, or no column at all.
    """

    genes: list[str]
    source: Codes
    target: Codes
    header: bool | None = None
    extra: pl.DataFrame = field(default_factory=pl.DataFrame)

    def __len__(self) -> int:
        return len(self.source)


def read_pairs(pairs: PairsLike) -> PairList:
    """Read a pair list.

    Args:
        pairs: a file (``.csv``, ``.tsv``, ``.txt``, each also ``.gz``; ``.parquet``; ``.h5`` with pair batches or a
            result; ``-`` for CSV or TSV from standard input), a polars or pandas data frame, or (source, target)
            tuples. Columns are found by their names (`SOURCE_NAMES` and `TARGET_NAMES` of `pair_tables`); else the
            first two count. Blank lines of text files are passed over.

    Raises:
        PairListError: nothing can be read from it.
    """
    if not isinstance(pairs, str | Path):
        return _intern(_table_chunks(pairs), None, "the pair list")
    path = Path(pairs)
    if not is_readable(path):
        message = f"{path}: no such file; expected a pair list (.csv, .tsv, .txt, also .gz; .parquet; .h5)"
        raise PairListError(message)
    suffix = path.suffix.lower()
    if suffix == ".h5":
        return _read_hdf5(path)
    header, chunks = (None, parquet_chunks(path)) if suffix == ".parquet" else text_chunks(path)
    try:
        return _intern(chunks, header, str(path))
    except UNREADABLE_TABLE as error:
        message = f"{path}: damaged, or not what its name says ({error}); expected a table of two text columns"
        raise PairListError(message) from error


def _table_chunks(pairs: pl.DataFrame | FrameLike | Iterable[tuple[str, str]]) -> Iterator[pl.DataFrame]:
    if not isinstance(pairs, pl.DataFrame) and hasattr(pairs, "iloc"):
        pairs = from_pandas(cast(FrameLike, pairs))
    if isinstance(pairs, pl.DataFrame):
        return iter([pairs.select(pair_columns(pairs.columns, "the data frame"))])
    rows = list(pairs)
    if not all(isinstance(row, tuple) and len(row) == 2 for row in rows):
        message = "expected (source, target) tuples of two gene names each"
        raise PairListError(message)
    return iter([pl.DataFrame(rows, schema={"source": pl.String, "target": pl.String}, orient="row")] if rows else [])


def _intern(chunks: Iterator[pl.DataFrame], header: bool | None, where: str) -> PairList:
    """Give every distinct name a number, chunk by chunk."""
    numbers: dict[str, int] = {}
    parts: list[pl.DataFrame] = []
    extra: list[pl.DataFrame] = []
    for chunk in chunks:
        clean = chunk.select(pl.col(ENDS).cast(pl.String).str.strip_chars().fill_null(""))
        for name in pl.concat([column.unique(maintain_order=True) for column in clean]).to_list():
            numbers.setdefault(name, len(numbers))
        if len(clean):
            parts.append(clean.select(pl.all().replace_strict(numbers, return_dtype=pl.Int32).cast(pl.Int32)))
        extra.append(chunk.drop(ENDS))
    if not extra:
        message = f"{where}: no pairs found; expected one source and one target per line"
        raise PairListError(message)
    codes = pl.concat([pl.DataFrame(schema=dict.fromkeys(ENDS, pl.Int32)), *parts], rechunk=True)
    source, target = (codes[end].to_numpy(writable=True) for end in ENDS)
    others = pl.concat(extra, rechunk=True)
    if header is not None:
        others = pl.DataFrame([_typed(column) for column in others])
    return PairList(list(numbers), source, target, header, others)


def _typed(column: pl.Series) -> pl.Series:
    """Numbers where the text of a column is nothing else; ``007`` is a name."""
    if column.str.contains(r"^[+-]?0[0-9]").any():
        return column
    for dtype in (pl.Int64, pl.Float64):
        numbers = column.cast(dtype, strict=False)
        if numbers.null_count() == column.null_count() < len(column):
            return numbers
    return column


def _read_hdf5(path: Path) -> PairList:
    read = read_hdf5 if is_hdf5_result(path) else _read_pair_batches
    genes, (source, target, columns) = read(path)
    if not len(source):
        message = f"{path}: no pairs found"
        raise PairListError(message)
    return PairList([name.strip() for name in genes], source, target, None, columns)


def _read_pair_batches(path: Path) -> tuple[list[str], Batch]:
    """Pair batches as `write_pair_batches` writes them, back in the user's order."""
    try:
        with h5py.File(path) as file:
            genes = read_genes(file)
            source, target = file[SOURCE][:], file[TARGET][:]
            row = file[ROW][:] if ROW in file else np.arange(len(source))
    except UNREADABLE_HDF5 as error:
        message = (
            f"{path}: not readable as pair batches ({error}); expected /{GENES} (text) and, as whole numbers, "
            f"/{SOURCE} and /{TARGET}"
        )
        raise PairListError(message) from error
    if not point_into(len(genes), source, target) or row.shape != source.shape or row.dtype.kind not in "iu":
        message = (
            f"{path}: /{SOURCE}, /{TARGET} and /{ROW} must be equally long columns of whole numbers, and "
            f"the first two point into the {len(genes)} genes"
        )
        raise PairListError(message)
    order = np.argsort(row, kind="stable")
    return genes, (source[order].astype(np.int32), target[order].astype(np.int32), pl.DataFrame())


def write_pair_batches(pairs: PairList, ids: Codes, rows: Codes, path: Path) -> None:
    """Write pairs as HDF5 pair batches.

    Args:
        pairs: the list.
        ids: int32 ``[G]``, vocabulary row of each of its names.
        rows: int32 ``[n]``, the pairs that are written, sorted by source id.
        path: of the file.
    """
    columns = {SOURCE: pairs.source[rows], TARGET: pairs.target[rows], ROW: rows}
    with h5py.File(path, "w") as file:
        write_genes(file, pairs.genes)
        file.create_dataset(GENE_IDS, data=ids)
        for name, values in columns.items():
            file.create_dataset(name, data=values, chunks=True, **PACKED)
        file.create_dataset(INDPTR, data=source_bounds(ids[pairs.source[rows]]))


class PairBatches:
    """Pair batches as `write_pair_batches` wrote them, read block by block.

    Attributes:
        ids: int32 ``[G]``, vocabulary rows of the names.
        indptr: int64 ``[S + 1]``, bounds of the sources.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with h5py.File(path) as file:
            self.ids: Codes = file[GENE_IDS][:]
            self.indptr: Ids = file[INDPTR][:]

    def block(self, first: int, last: int) -> tuple[Codes, Codes, Codes]:
        """Source ids, target ids and rows of the user's list of some pairs, int32 ``[n]`` each."""
        with h5py.File(self.path) as file:
            source, target, row = (file[name][first:last] for name in (SOURCE, TARGET, ROW))
        return self.ids[source], self.ids[target], row


def source_bounds(sorted_sources: Codes) -> Ids:
    """``[S + 1]`` bounds of the runs of equal values in a sorted array."""
    first = np.unique(sorted_sources, return_index=True)[1]
    return np.append(first, len(sorted_sources)).astype(np.int64)
