"""The files of one run: a result, its rejects and its record; refused before any work where they cannot be written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import InputError
from .formats import OutputFormat, output_format


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
