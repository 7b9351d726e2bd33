"""The folder of a run that resumes: claimed by its settings, and a digest of all that decides its results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import replace_with


def versions() -> dict[str, str]:
    """Versions of the packages that decide scores."""
    return {name: version(name) for name in ("ugrn", "numpy", "scikit-learn", "torch")}


def digest(settings: Mapping[str, Any], files: Iterable[Path]) -> str:
    """SHA-256 of settings and of the contents of files and folders, to tell runs apart."""
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found.update(file.name.encode())
                found.update(file_entry(file)["sha256"].encode())
    return found.hexdigest()


def claim_folder(folder: Path, settings: Mapping[str, Any], begun: bool, what: str) -> None:
    """Make a folder that of a run with some settings, which are written to ``run.json``.

    Args:
        begun: True where the folder holds results of a run.
        what: kind of run, for messages.

    Raises:
        InputError: it holds another run, or something else.
    """
    if folder.exists() and not folder.is_dir():
        message = f"{folder}: is a file; expected a folder, which is made where there is none"
        raise InputError(message)
    state = folder / "run.json"
    wanted = json.dumps(settings, indent=1) + "\n"
    if begun and (not state.exists() or state.read_text(encoding="utf-8") != wanted):
        message = f"{folder}: holds a run with other settings; choose another folder with -o, or delete this one"
        raise InputError(message)
    if not state.exists() and any(folder.glob("*")):
        message = f"{folder}: is not empty and holds no {what} run; choose another folder with -o"
        raise InputError(message)
    folder.mkdir(parents=True, exist_ok=True)
    replace_with(state, lambda part: part.write_text(wanted, encoding="utf-8"))
