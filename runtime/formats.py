"""Writing results: chunk by chunk, to a temporary file that is renamed when it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from .errors import InputError
from .pairs import PairList

CHUNK_ROWS = 1 << 17
SUFFIXES = (".csv", ".tsv", ".parquet", ".h5")


class ResultTable:
    """Results in the user's order, read in chunks.

    Args:
        pairs: the list as written.
        rows: int32 ``[N]`` accepted rows, ascending.
        results: float32, ``results[row]`` holds one value per column; may lie on disk.
        columns: names of the result columns.
    """

    def __init__(
        self, pairs: PairList, rows: NDArray[np.int32], results: NDArray[np.float32], columns: list[str]
    ) -> None:
        self.pairs = pairs
        self.rows = rows
        self.results = results
        self.columns = columns
        self._genes = pl.Series("gene", pairs.genes, dtype=pl.String)
        self.schema = {"source": pl.String, "target": pl.String} | dict.fromkeys(columns, pl.Float32)

    def __len__(self) -> int:
        return len(self.rows)

    def frame(self, start: int = 0, count: int | None = None) -> pl.DataFrame:
        """Rows ``start : start + count`` as a data frame."""
        rows = self.rows[start : None if count is None else start + count]
        values = np.asarray(self.results[rows])
        named = {name: values[:, index] for index, name in enumerate(self.columns)}
        genes = {
            "source": self._genes.gather(self.pairs.source[rows]),
            "target": self._genes.gather(self.pairs.target[rows]),
        }
        return pl.DataFrame(genes | named, schema=self.schema)

    def chunks(self) -> Iterator[pl.DataFrame]:
        """All rows, `CHUNK_ROWS` at a time."""
        for start in range(0, len(self), CHUNK_ROWS):
            yield self.frame(start, CHUNK_ROWS)


def check_output(path: Path, reads: Path | None = None) -> None:
    """Refuse an output path that cannot be written, before any work is done.

    Args:
        path: of the result; its rejects go to `rejects_path`.
        reads: the file the run reads, which must not be overwritten.

    Raises:
        InputError: unknown suffix, missing folder, a folder in its place, or it would overwrite `reads`.
    """
    if path.suffix not in SUFFIXES:
        message = f"{path}: suffix {path.suffix!r} is not a known format; expected one of {', '.join(SUFFIXES)}"
        raise InputError(message)
    if not path.parent.is_dir():
        message = f"{path}: its folder does not exist; make it first with: mkdir -p {path.parent}"
        raise InputError(message)
    if reads is not None and reads.resolve() in (
        path.resolve(),
        rejects_path(path).resolve(),
        sidecar_path(path).resolve(),
    ):
        message = f"{path}: the run would overwrite the pair list it reads ({reads}); choose another name with -o"
        raise InputError(message)
    for each in (path, rejects_path(path), sidecar_path(path)):
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


def write_results(table: ResultTable, path: Path) -> None:
    """Write a result table as CSV, TSV, Parquet or HDF5, by the suffix of `path`."""
    if path.suffix == ".h5":
        replace_with(path, lambda part: _write_hdf5(table, part))
        return
    lazy = register_io_source(_io_source(table), schema=table.schema, is_pure=True)
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


def _io_source(table: ResultTable) -> Callable[..., Iterator[pl.DataFrame]]:
    def read(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del predicate, n_rows, batch_size  # a plain sink asks for everything
        for frame in table.chunks():
            yield frame if with_columns is None else frame.select(with_columns)

    return read


def _write_hdf5(table: ResultTable, path: Path) -> None:
    """``/genes/symbol``; ``/edges/source``, ``/edges/target`` (int32 into genes); ``/edges/<column>`` float32."""
    packed: dict[str, Any] = {
        "compression": "lzf",
        "shuffle": True,
        "fletcher32": True,
        "chunks": (min(CHUNK_ROWS, len(table)),),
    }
    pairs = table.pairs
    with h5py.File(path, "w") as file:
        file.create_dataset("genes/symbol", data=pairs.genes, dtype=h5py.string_dtype())
        ends = {"source": pairs.source, "target": pairs.target}
        for name in ends:
            file.create_dataset(f"edges/{name}", (len(table),), np.int32, **packed)
        for name in table.columns:
            file.create_dataset(f"edges/{name}", (len(table),), np.float32, **packed)
        for start in range(0, len(table), CHUNK_ROWS):
            rows = table.rows[start : start + CHUNK_ROWS]
            span = slice(start, start + len(rows))
            for name, codes in ends.items():
                file[f"edges/{name}"][span] = codes[rows]
            values = np.asarray(table.results[rows])
            for index, name in enumerate(table.columns):
                file[f"edges/{name}"][span] = values[:, index]
