"""The files that a run writes: formats by suffix and name, names beside the result, and what is refused before work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ..errors import InputError

CONTAINERS = ("csv", "tsv", "parquet", "h5", "graphml", "sif")
PACKED = ("csv", "tsv", "graphml", "sif")
"""The containers that may be followed by ``.gz``."""
LAYOUTS = {
    "ugrn": None,
    "decoupler": ("source", "target", "weight"),
    "pyscenic": ("TF", "target", "importance"),
}
"""Names of source, target and probability as other tools expect them, without further columns; None: all columns."""
SUFFIXES = [f".{name}{packed}" for name in CONTAINERS for packed in ("", ".gz") if not packed or name in PACKED]


@dataclass(frozen=True)
class OutputFormat:
    """The way a result is written.

    Attributes:
        container: one of `CONTAINERS`.
        names: a layout's column names; None: all columns under their own.
        packed: True where gzip packs it.
    """

    container: str
    names: tuple[str, str, str] | None = None
    packed: bool = False

    @property
    def all_columns(self) -> bool:
        """True where columns beside source, target and probability are written."""
        return self.names is None and self.container != "sif"

    def check_columns(self, columns: Mapping[str, pl.DataType]) -> None:
        """Refuse columns that the container cannot hold.

        Raises:
            InputError: naming them.
        """
        if not self.all_columns or self.container == "parquet":
            return
        nested = [name for name, dtype in columns.items() if dtype.is_nested() or dtype in (pl.Binary, pl.Object)]
        if nested:
            message = f"columns {nested} hold lists, records or bytes, which .{self.container} cannot; write .parquet"
            raise InputError(message)
        if self.container == "h5" and any("/" in name for name in columns):
            message = f"columns {[name for name in columns if '/' in name]}: HDF5 has no '/' in names; write .parquet"
            raise InputError(message)


def output_format(path: Path, name: str = "ugrn") -> OutputFormat:
    """The format of a result by its path's suffix and, where that leaves a choice, by name.

    Args:
        path: ``edges.csv``, ``edges.graphml.gz``, ….
        name: a layout or a container.

    Raises:
        InputError: no format is known by this suffix or name, or the two contradict each other.
    """
    format_suffix(name)
    suffix = full_suffix(path)
    container, packed = suffix.removesuffix(".gz").removeprefix("."), suffix.endswith(".gz")
    if container not in CONTAINERS and name in CONTAINERS:
        container = name
    elif suffix not in SUFFIXES:
        message = f"{path}: suffix {suffix!r} is not a known format; expected one of {', '.join(SUFFIXES)}"
        raise InputError(message)
    names = LAYOUTS.get(name)
    fits = container in ("csv", "tsv", "parquet") if names else name in ("ugrn", container)
    if not fits or (packed and container not in PACKED):
        expected = ".csv, .tsv or .parquet" if names else f".{name}"
        message = f"{path}: format {name} does not go with this suffix; expected {expected}, or another format"
        raise InputError(message)
    return OutputFormat(container, names, packed)


def format_suffix(name: str) -> str:
    """The suffix that goes with a format's name.

    Raises:
        InputError: it is none.
    """
    if name not in (*LAYOUTS, *CONTAINERS):
        message = f"format {name!r} is not known; expected one of {', '.join((*LAYOUTS, *CONTAINERS))}"
        raise InputError(message)
    return f".{name}" if name in CONTAINERS else ".csv"


def full_suffix(path: Path) -> str:
    """A path's suffix, with the one before where it is ``.gz``."""
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


def check_output(path: Path, reads: Iterable[object] = (), name: str = "ugrn") -> OutputFormat:
    """Refuse an output path that cannot be written, before any work is done; its format else.

    Args:
        path: of the result; its rejects go to `rejects_path`.
        reads: the inputs of the run; the paths among them must not be overwritten.
        name: of the format, see `output_format`.

    Raises:
        InputError: unknown format, or see `check_written`.
    """
    to = output_format(path, name)
    check_written([path, rejects_path(path), sidecar_path(path)], reads)
    return to


def check_written(written: Sequence[Path], reads: Iterable[object] = ()) -> None:
    """Refuse paths that cannot be written, before any work is done.

    Args:
        written: the output, then what is written beside it.
        reads: the inputs of the run; the paths among them must not be overwritten.

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
    """Path of the pairs of a result that were rejected."""
    return output.with_name(output.name + ".rejects.csv")


def sidecar_path(output: Path) -> Path:
    """Path of the JSON record of a run."""
    return output.with_name(output.name + ".json")
