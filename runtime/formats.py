"""Writing results: chunk by chunk, to a temporary file that is renamed when it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from .errors import InputError
from .pairs import PairList

CHUNK_ROWS = 1 << 17
SUFFIXES = (".csv", ".tsv", ".parquet", ".h5")


Batch = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]


class EdgeTable(Protocol):
    """Scored pairs that are read batch by batch, once or more."""

    @property
    def genes(self) -> Sequence[str]:
        """The distinct names, G."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the C result columns."""

    def __len__(self) -> int:
        """How many pairs there are."""

    def batches(self) -> Iterator[Batch]:
        """Sources and targets, int32 ``[n]`` into `genes`, and results, float32 ``[n, C]``."""


@dataclass(frozen=True)
class ResultTable:
    """Results of a pair list in the user's order.

    Attributes:
        pairs: the list as written.
        rows: int32 ``[N]`` accepted rows, ascending.
        results: float32, ``results[row]`` holds one value per column; may lie on disk.
        columns: names of the result columns.
    """

    pairs: PairList
    rows: NDArray[np.int32]
    results: NDArray[np.float32]
    columns: Sequence[str]

    @property
    def genes(self) -> Sequence[str]:
        return self.pairs.genes

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self) -> Iterator[Batch]:
        for start in range(0, len(self), CHUNK_ROWS):
            rows = self.rows[start : start + CHUNK_ROWS]
            yield self.pairs.source[rows], self.pairs.target[rows], np.asarray(self.results[rows])


def frame(table: EdgeTable) -> pl.DataFrame:
    """A whole table in memory: columns source, target and the results."""
    empty = pl.DataFrame(schema=_schema(table))
    return pl.concat([empty, *_frames(table)])


def _schema(table: EdgeTable) -> pl.Schema:
    ends = {"source": pl.String(), "target": pl.String()}
    return pl.Schema(ends | {name: pl.Float32() for name in table.columns})


def _frames(table: EdgeTable) -> Iterator[pl.DataFrame]:
    schema = _schema(table)
    genes = pl.Series("gene", table.genes, dtype=pl.String)
    for source, target, values in table.batches():
        results = {name: values[:, index] for index, name in enumerate(table.columns)}
        yield pl.DataFrame({"source": genes.gather(source), "target": genes.gather(target)} | results, schema=schema)


def check_output(path: Path, reads: Iterable[object] = ()) -> None:
    """Refuse an output path that cannot be written, before any work is done.

    Args:
        path: of the result; its rejects go to `rejects_path`.
        reads: what the run reads; the paths among it must not be overwritten.

    Raises:
        InputError: unknown suffix, missing folder, a folder in its place, or it would overwrite `reads`.
    """
    if path.suffix not in SUFFIXES:
        message = f"{path}: suffix {path.suffix!r} is not a known format; expected one of {', '.join(SUFFIXES)}"
        raise InputError(message)
    if not path.parent.is_dir():
        message = f"{path}: its folder does not exist; make it first with: mkdir -p {path.parent}"
        raise InputError(message)
    written = (path, rejects_path(path), sidecar_path(path))
    for read in reads:
        if isinstance(read, str | Path) and Path(read).resolve() in [each.resolve() for each in written]:
            message = f"{path}: the run would overwrite the list it reads ({read}); choose another name with -o"
            raise InputError(message)
    for each in written:
        if each.is_dir():
            message = f"{each}: is a folder, and a file of this name is to be written; choose another name with -o"
            raise InputError(message)
    if not os.access(path.parent, os.W_OK):
        message = f"{path}: its folder is not writable; choose another with -o"
        raise InputError(message)


def rejects_path(output: Path) -> Path:
    """Where the rejected pairs of a result go."""
    return output.with_name(output.name + ".rejects.csv")


def sidecar_path(output: Path) -> Path:
    """Where the facts of a run go."""
    return output.with_name(output.name + ".json")


def write_results(table: EdgeTable, path: Path) -> None:
    """Write a table as CSV, TSV, Parquet or HDF5, by the suffix of `path`."""
    if path.suffix == ".h5":
        replace_with(path, lambda part: _write_hdf5(table, part))
        return
    lazy = register_io_source(_io_source(table), schema=_schema(table), is_pure=True)
    if path.suffix == ".parquet":
        replace_with(path, lambda part: lazy.sink_parquet(part))
    else:
        separator = "," if path.suffix == ".csv" else "\t"
        replace_with(path, lambda part: lazy.sink_csv(part, separator=separator))


def replace_with(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file through a temporary one: sync, then rename, so that `path` is old or whole, never half."""
    part = path.with_name(f".{path.name}.tmp")  # the same name every time: a later run clears up after a killed one
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, where the system lets a folder be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _io_source(table: EdgeTable) -> Callable[..., Iterator[pl.DataFrame]]:
    def read(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del predicate, n_rows, batch_size  # a plain sink asks for everything
        for each in _frames(table):
            yield each if with_columns is None else each.select(with_columns)

    return read


def _write_hdf5(table: EdgeTable, path: Path) -> None:
    """``/genes/symbol``; ``/edges/source``, ``/edges/target`` (int32 into genes); ``/edges/<column>`` float32."""
    packed: dict[str, Any] = {
        "compression": "lzf",
        "shuffle": True,
        "fletcher32": True,
        "chunks": (min(CHUNK_ROWS, len(table)),),
    }
    if len(table) == 0:  # nothing to cut into chunks
        packed = {}
    with h5py.File(path, "w") as file:
        file.create_dataset("genes/symbol", data=table.genes, dtype=h5py.string_dtype())
        for name in ("source", "target"):
            file.create_dataset(f"edges/{name}", (len(table),), np.int32, **packed)
        for name in table.columns:
            file.create_dataset(f"edges/{name}", (len(table),), np.float32, **packed)
        start = 0
        for source, target, values in table.batches():
            span = slice(start, start + len(source))
            start = span.stop
            file["edges/source"][span], file["edges/target"][span] = source, target
            for index, name in enumerate(table.columns):
                file[f"edges/{name}"][span] = values[:, index]
