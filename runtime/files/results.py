"""Writing results: chunk by chunk, to a temporary file that is renamed when it is whole."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from ..errors import InputError
from .formats import OutputFormat, output_format
from .graphs import write_graphml, write_sif
from .tables import CHUNK_ROWS, ENDS, EdgeTable, frame_schema, frames


def check_output(path: Path, reads: Iterable[object] = (), name: str = "ugrn") -> OutputFormat:
    """Refuse an output path that cannot be written, before any work is done; its format else.

    Args:
        path: of the result; its rejects go to `rejects_path`.
        reads: what the run reads; the paths among it must not be overwritten.
        name: of the format, see `output_format`.

    Raises:
        InputError: unknown format, or see `check_written`.
    """
    found = output_format(path, name)
    check_written([path, rejects_path(path), sidecar_path(path)], reads)
    return found


def check_written(written: Sequence[Path], reads: Iterable[object] = ()) -> None:
    """Refuse paths that cannot be written, before any work is done.

    Args:
        written: the output, then what is written beside it.
        reads: what the run reads; the paths among it must not be overwritten.

    Raises:
        InputError: their folder is missing or not writable, something that is no file is in the place of one, or one
            is among `reads`.
    """
    path = written[0]
    if not path.parent.is_dir():
        message = f"{path}: its folder does not exist; make it first with: mkdir -p {path.parent}"
        raise InputError(message)
    for read in reads:
        if isinstance(read, str | Path) and Path(read).resolve() in [each.resolve() for each in written]:
            message = f"{path}: the run would overwrite the list it reads ({read}); choose another name with -o"
            raise InputError(message)
    for each in written:
        if each.exists() and not each.is_file():
            what = "is a folder" if each.is_dir() else "is a device or a pipe"
            message = (
                f"{each}: {what}, and a file of this name is to be written; choose another name with -o, or - for "
                "standard output"
            )
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


def write_results(table: EdgeTable, path: Path, to: OutputFormat) -> None:
    """Write a table as a file of a format."""
    if to.container == "h5":
        replace_with(path, lambda part: _write_hdf5(table, part))
    elif to.container == "parquet":
        lazy = _named(register_io_source(_io_source(table), schema=frame_schema(table), is_pure=True), to)
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
        _named(part.lazy(), to).collect().write_csv(file, include_header=number == 0, separator=separator)


def _named(table: pl.LazyFrame, to: OutputFormat) -> pl.LazyFrame:
    """A table in a layout's columns."""
    if to.names is None:
        return table
    return table.select(
        pl.col(ours).alias(theirs) for ours, theirs in zip((*ENDS, "probability"), to.names, strict=True)
    )


def replace_with(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file through a temporary one: sync, then rename, so that `path` is old or whole, never half.

    Where `path` is a link, the file that it points to is written.
    """
    path = path.resolve()
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
        for each in frames(table):
            yield each if with_columns is None else each.select(with_columns)

    return read


def _write_hdf5(table: EdgeTable, path: Path) -> None:
    """``/genes/symbol``; ``/edges/source``, ``/edges/target`` (int32 into genes); ``/edges/<column>``.

    Columns are float32 as they are, other numbers float64 (missing: NaN), all else text (missing: empty).
    """
    packed: dict[str, Any] = {
        "compression": "lzf",
        "shuffle": True,
        "fletcher32": True,
        "chunks": (min(CHUNK_ROWS, len(table)),),
    }
    if len(table) == 0:  # nothing to cut into chunks
        packed = {}
    kinds = {name: _stored(dtype) for name, dtype in table.schema.items()}
    with h5py.File(path, "w") as file:
        file.create_dataset("genes/symbol", data=table.genes, dtype=h5py.string_dtype())
        edges = file.create_group("edges")
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
                edges[column.name][span] = _values(column.cast(kinds[column.name]))


def _stored(dtype: pl.DataType) -> pl.DataType:
    """What a column becomes in HDF5."""
    if dtype == pl.Float32:
        return pl.Float32()
    return pl.Float64() if dtype.is_numeric() else pl.String()


def _values(column: pl.Series) -> NDArray[Any]:
    if column.dtype == pl.String:
        return np.array(column.fill_null("").to_list(), dtype=object)
    return column.to_numpy()
