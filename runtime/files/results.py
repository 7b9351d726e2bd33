"""Results, written and read back: CSV and TSV (also ``.gz``), Parquet and HDF5; GraphML and SIF are written.

They are written chunk by chunk, to a temporary file that is renamed when it is whole. HDF5 has ``/genes/symbol``;
``/edges/source``, ``/edges/target`` (int32 into genes); ``/edges/<column>``. There columns are float32 as they are,
other numbers float64 (missing: NaN), all else text (missing: empty), and their order is not kept.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import h5py
import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from ..errors import InputError, PairListError
from .atomic import replace_with
from .graphs import write_graphml, write_sif
from .hdf5 import PACKED, UNREADABLE_HDF5, point_into, read_genes, write_genes
from .outputs import OutputFormat, full_suffix
from .tables import CHUNK_ROWS, ENDS, Batch, EdgeTable, frame_schema, frames, named

EDGES = "edges"


def write_results(table: EdgeTable, path: Path, to: OutputFormat) -> None:
    """Write a table as a file of a format."""
    if to.container == "h5":
        replace_with(path, lambda part: _write_hdf5(table, part))
    elif to.container == "parquet":
        lazy = _in_layout(register_io_source(_io_source(table), schema=frame_schema(table), is_pure=True), to)
        replace_with(path, lambda part: lazy.sink_parquet(part))
    else:
        replace_with(path, lambda part: _write_text(table, part, to))


def _write_text(table: EdgeTable, path: Path, to: OutputFormat) -> None:
    writers = {"graphml": write_graphml, "sif": write_sif}
    write = writers.get(to.container, partial(_write_delimited, to))
    with path.open("wb") as file:
        if not to.packed:
            write(table, file)
            return
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:  # no time, no name: the same bytes every time
            write(table, cast(BinaryIO, packed))


def _write_delimited(to: OutputFormat, table: EdgeTable, file: BinaryIO) -> None:
    separator = "," if to.container == "csv" else "\t"
    for number, part in enumerate(chain([pl.DataFrame(schema=frame_schema(table))], frames(table))):
        _in_layout(part.lazy(), to).collect().write_csv(file, include_header=number == 0, separator=separator)


def _in_layout(table: pl.LazyFrame, to: OutputFormat) -> pl.LazyFrame:
    """A table in a layout's columns."""
    if to.names is None:
        return table
    return table.select(
        pl.col(ours).alias(theirs) for ours, theirs in zip((*ENDS, "probability"), to.names, strict=True)
    )


def _io_source(table: EdgeTable) -> Callable[..., Iterator[pl.DataFrame]]:
    def read(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del predicate, n_rows, batch_size  # a plain sink asks for everything
        for each in frames(table):
            yield each if with_columns is None else each.select(with_columns)

    return read


def _write_hdf5(table: EdgeTable, path: Path) -> None:
    chunks = (min(CHUNK_ROWS, len(table)),)
    packed: dict[str, Any] = PACKED | {"chunks": chunks} if len(table) else {}  # of no rows there are no chunks
    kinds = {name: _stored(dtype) for name, dtype in table.schema.items()}
    with h5py.File(path, "w") as file:
        write_genes(file, table.genes)
        edges = file.create_group(EDGES)
        for name in ENDS:
            edges.create_dataset(name, (len(table),), np.int32, **packed)
        for name, kind in kinds.items():
            text = kind == pl.String
            stored = h5py.string_dtype() if text else np.float32 if kind == pl.Float32 else np.float64
            edges.create_dataset(name, (len(table),), stored, **({} if text else packed))
        start = 0
        for source, target, columns in table.batches():
            span = slice(start, start + len(source))
            start = span.stop
            edges["source"][span], edges["target"][span] = source, target
            for column in columns:
                values = column.cast(kinds[column.name])
                edges[column.name][span] = (values.fill_null("") if values.dtype == pl.String else values).to_numpy()


def _stored(dtype: pl.DataType) -> pl.DataType:
    """The type of a column in HDF5."""
    if dtype == pl.Float32:
        return pl.Float32()
    return pl.Float64() if dtype.is_numeric() else pl.String()


def scan_results(path: Path) -> pl.LazyFrame:
    """A result that was written with all columns: source, target (text) and the others, in the order of the rows.

    Args:
        path: ``.csv``, ``.tsv`` (each also ``.gz``), ``.parquet`` or ``.h5``.

    Raises:
        InputError: its suffix is another, or its HDF5 is damaged; damaged text and Parquet are polars' errors.
    """
    suffix = full_suffix(Path(path.name.lower()))
    if suffix == ".parquet":
        return pl.scan_parquet(path)
    if suffix == ".h5":
        return named(*read_hdf5(path)).lazy()
    if suffix.removesuffix(".gz") not in (".csv", ".tsv"):
        message = (
            f"{path}: suffix {path.suffix!r} is not a known format; expected .csv, .tsv (also .gz), .parquet or .h5"
        )
        raise InputError(message)
    separator = "\t" if suffix.startswith(".tsv") else ","
    header = pl.read_csv(path, separator=separator, n_rows=0).columns
    known = {name: pl.String for name in ENDS if name in header}  # a gene may be called 7
    if suffix.endswith(".gz"):  # unpacked once, not for every query
        return pl.read_csv(path, separator=separator, schema_overrides=known, infer_schema_length=None).lazy()
    return pl.scan_csv(path, separator=separator, schema_overrides=known, infer_schema_length=None)


def is_hdf5_result(path: Path) -> bool:
    """True where a file is HDF5 and has edges."""
    try:
        with h5py.File(path) as file:
            return EDGES in file
    except OSError:
        return False


def read_hdf5(path: Path) -> tuple[list[str], Batch]:
    """A result of HDF5: the names, G; sources and targets, int32 ``[N]`` into them, and the other columns, N rows.

    Raises:
        PairListError: it is none, or damaged.
    """
    try:
        with h5py.File(path) as file:
            genes, edges = read_genes(file), file[EDGES]
            source, target = (edges[name][:] for name in ENDS)
            columns = pl.DataFrame([_column(name, each) for name, each in edges.items() if name not in ENDS])
    except UNREADABLE_HDF5 as error:
        message = (
            f"{path}: not readable as a result ({error}); expected /genes/symbol, /edges/source and /edges/target, "
            "as ugrn writes them"
        )
        raise PairListError(message) from error
    if not point_into(len(genes), source, target) or (columns.width and len(columns) != len(source)):
        message = f"{path}: its edges point past its {len(genes)} genes, or are not equally many; make it again"
        raise PairListError(message)
    return genes, (source.astype(np.int32), target.astype(np.int32), columns)


def _column(name: str, stored: h5py.Dataset) -> pl.Series:
    """A column as it was before `_write_hdf5`, as far as HDF5 keeps it."""
    if h5py.check_string_dtype(stored.dtype) is not None:
        return pl.Series(name, [text or None for text in stored.asstr()[:]], dtype=pl.String)
    values = pl.Series(name, stored[:])
    return values.fill_nan(None) if values.dtype.is_float() else values
