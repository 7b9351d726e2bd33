"""Artifacts by name: a folder, a name in the user's folder or among the bundled ones, or a repository of a model hub.

A reference may end with ``#sha256=`` and the hash of the artifact's manifest, which holds the hashes of all its files.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from ..errors import ArtifactError, InputError
from .folder import Artifact, open_artifact
from .hub import COMMIT, fetch, parse_hub
from .manifest import MANIFEST

DEFAULT = "mini"
PIN = "#sha256="
Place = Literal["user", "bundled", "hub", "folder"]


@dataclass(frozen=True)
class InstalledArtifact:
    """The place of an artifact.

    Attributes:
        name: its name for ``--artifact``.
        place: ``user``, ``bundled``, ``hub`` (fetched before) or ``folder``.
        folder: its folder.
    """

    name: str
    place: Place
    folder: Path


def bundled_artifact() -> Path:
    """Folder of the artifact that ships with the package."""
    return _bundled() / DEFAULT


def user_folder() -> Path:
    """The user's folder: ``UGRN_HOME``, or where the platform keeps a program's data.

    That is ``$XDG_DATA_HOME/ugrn`` or ``~/.local/share/ugrn`` on Linux (XDG Base Directory Specification),
    ``~/Library/Application Support/ugrn`` on macOS and ``%LOCALAPPDATA%\\ugrn`` on Windows. It holds ``artifacts``, a
    folder for each name, and ``hub``, what was fetched.
    """
    if given := os.environ.get("UGRN_HOME"):
        return Path(given).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "ugrn"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "ugrn"
    share = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (share if share.is_absolute() else home / ".local" / "share") / "ugrn"


def installed() -> list[InstalledArtifact]:
    """The artifacts that have a name on this machine: the user's, the bundled, and those fetched from a hub.

    Of two with one name, the user's comes first, and is what the name means.
    """
    user, hub = user_folder() / "artifacts", user_folder() / "hub"
    found = [InstalledArtifact(path.name, "user", path) for path in _folders(user, "*")]
    found += [InstalledArtifact(path.name, "bundled", path) for path in _folders(_bundled(), "*")]
    fetched = [path for path in _folders(hub, "*/*/*") if re.fullmatch(COMMIT, path.name)]
    return found + [
        InstalledArtifact(f"{path.parent.relative_to(hub).as_posix()}@{path.name}", "hub", path) for path in fetched
    ]


def locate(reference: Path | str | None = None) -> InstalledArtifact:
    """The place of the artifact that a reference without a pin names; it is fetched where it is a hub's.

    Args:
        reference: a folder, a name, ``owner/repository@commit`` (also with ``hf://`` before it), or None for the
            bundled artifact. A folder that holds an artifact comes before a name.

    Raises:
        ArtifactError: nothing is there, or it cannot be fetched.
        MissingExtraError: the extra ``hub`` is not installed.
    """
    if reference is None:
        return InstalledArtifact(DEFAULT, "bundled", bundled_artifact())
    path = Path(reference)
    if isinstance(reference, Path) or (path / MANIFEST).is_file():
        return InstalledArtifact(str(reference), "folder", path)
    here = installed()
    for each in here:
        if each.name == reference:
            return each
    if (hub := parse_hub(reference)) is not None:
        return InstalledArtifact(hub.name, "hub", fetch(hub, user_folder() / "hub"))
    names = ", ".join(dict.fromkeys(each.name for each in here if each.place != "hub"))
    message = (
        f"{reference}: no {MANIFEST} found there; expected an artifact folder as written by 'ugrn export', a name "
        f"(here: {names}), or owner/repository@commit of a model hub; see 'ugrn artifacts list'"
    )
    raise ArtifactError(message)


def find_artifact(reference: Path | str | None = None) -> Artifact:
    """Find, open and verify an artifact.

    Args:
        reference: as for `locate`, and perhaps ``#sha256=`` with the hash of its manifest.

    Raises:
        InputError: the pin is no hash.
        ArtifactError: as for `locate` and `open_artifact`, or the manifest is not the pinned one.
        MissingExtraError: the extra ``hub`` is not installed.
    """
    name, _, pin = str(reference or "").partition(PIN)
    if not pin:
        return open_artifact(locate(reference).folder)
    if not re.fullmatch("[0-9a-f]{64}", pin):
        message = f"{reference}: the hash after {PIN} has {len(pin)} characters; expected 64 hex digits, in lower case"
        raise InputError(message)
    artifact = open_artifact(locate(name or None).folder)
    if artifact.digest != pin:
        message = (
            f"{artifact.folder}: its manifest has sha256 {artifact.digest}, and {pin} was asked for; it is another "
            "artifact, or was changed: get the right one, or ask for this one's hash"
        )
        raise ArtifactError(message)
    return artifact


def _bundled() -> Path:
    return Path(str(files("ugrn.artifacts")))


def _folders(place: Path, pattern: str) -> list[Path]:
    """Artifact folders below a place, in alphabetical order; those being written begin with a dot."""
    found = (path.parent for path in place.glob(f"{pattern}/{MANIFEST}"))
    return sorted(folder for folder in found if not folder.name.startswith("."))
