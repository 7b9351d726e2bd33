"""Safe writing: beside its place, synced, then renamed, so that a file is old or whole, never half."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def replace_with(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file through a temporary one: sync, then rename.

    Where `path` is a link, the file that it points to is written.
    """
    path = path.resolve()
    part = path.with_name(f".{path.name}.tmp")  # the same name every time: a later run clears up after a killed one
    try:
        write(part)
        sync_file(part)
        part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Bring a file's bytes to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring what was renamed in a folder to the disk, where the system lets a folder be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
