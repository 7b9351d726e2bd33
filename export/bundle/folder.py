"""New folders that take an old one's place when they are whole, and the gene lists that stand in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ugrn.runtime.artifact.manifest import MANIFEST
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import sync_file, sync_folder

ARTIFACT = "an artifact folder"


def is_artifact(folder: Path) -> bool:
    """True where a folder holds an artifact."""
    return (folder / MANIFEST).is_file()


@contextmanager
def new_folder(
    folder: Path, overwrite: bool, ours: Callable[[Path], bool] = is_artifact, kind: str = ARTIFACT
) -> Iterator[Path]:
    """A temporary folder that takes the place of `folder` when the block ends well, and vanishes when not.

    Raises:
        InputError: see `check_folder`.
    """
    folder = folder.resolve()
    check_folder(folder, overwrite, ours, kind)
    part, old = _beside(folder, "tmp"), _beside(folder, "old")
    if part.exists():  # of a run that was killed
        shutil.rmtree(part)
    part.mkdir()
    try:
        yield part
        for path in (each for each in part.rglob("*") if each.is_file()):
            sync_file(path)
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        sync_folder(folder.parent)
        if old.exists():
            shutil.rmtree(old)
    finally:
        if part.exists():
            shutil.rmtree(part)


def check_folder(
    folder: Path, overwrite: bool, ours: Callable[[Path], bool] = is_artifact, kind: str = ARTIFACT
) -> None:
    """Refuse a folder that cannot be written; bring back one that a killed run left half replaced.

    Args:
        ours: true of folders that may be replaced where `overwrite` is set, which `kind` names.

    Raises:
        InputError: it exists and may not be replaced, is none of `ours`, or its parent does not exist.
    """
    folder = folder.resolve()
    if not folder.parent.is_dir():
        message = f"{folder}: its parent folder does not exist; make it first with: mkdir -p {folder.parent}"
        raise InputError(message)
    old = _beside(folder, "old")
    if old.exists() and not folder.exists():
        old.rename(folder)
    elif old.exists():
        shutil.rmtree(old)
    if folder.exists() and not overwrite:
        message = f"{folder}: exists already; choose another folder with -o, or pass --overwrite"
        raise InputError(message)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir()) and not ours(folder)):
        message = f"{folder}: is not {kind} and will not be replaced; choose another with -o"
        raise InputError(message)


def write_gene_lists(folder: Path, symbols: Sequence[str], context: Sequence[str], aliases: Mapping[str, str]) -> None:
    """Write ``genes.txt``, ``context.txt`` and ``aliases.tsv``."""
    lists = {
        "genes.txt": symbols,
        "context.txt": context,
        "aliases.tsv": [f"{name}\t{symbol}" for name, symbol in aliases.items()],
    }
    for name, lines in lists.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _beside(folder: Path, role: str) -> Path:
    return folder.with_name(f".{folder.name}.ugrn-{role}")
