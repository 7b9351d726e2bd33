"""Artifacts from a model hub, by way of the package ``huggingface_hub`` (extra ``hub``).

Only full commit hashes are taken: a branch or a tag can be moved, and a script that names one would score with other
weights from one day to the next. A commit never changes, so what was fetched once is never asked for again.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, MissingExtraError
from .folder import open_artifact
from .manifest import MANIFEST, OPTIONAL, REQUIRED

COMMIT = "[0-9a-f]{40}"
OFFLINE = ("UGRN_OFFLINE", "HF_HUB_OFFLINE")
SCHEME = "hf://"


@dataclass(frozen=True)
class HubReference:
    """A repository of a model hub at a revision, which is empty where none was given."""

    repository: str
    revision: str

    @property
    def name(self) -> str:
        """``owner/repository@revision``."""
        return f"{self.repository}@{self.revision}"


def parse_hub(text: str) -> HubReference | None:
    """Read ``hf://owner/repository@revision``; without ``hf://`` the revision must be there. None for other texts."""
    found = re.fullmatch(rf"({SCHEME})?(\w[\w.-]*/\w[\w.-]*)(?:@(.+))?", text)
    if found is None or not (found[1] or found[3]):
        return None
    return HubReference(found[2], found[3] or "")


def offline() -> str | None:
    """The environment variable that forbids the network, or None."""
    return next((name for name in OFFLINE if os.environ.get(name, "").lower() in ("1", "true", "yes", "on")), None)


def fetch(reference: HubReference, folder: Path) -> Path:
    """The folder of a hub's artifact, fetched and verified where it is not there yet.

    Args:
        reference: repository and full commit hash.
        folder: where fetched artifacts are kept, as ``owner/repository/commit``.

    Raises:
        ArtifactError: the revision is no full commit hash, the network is forbidden or fails, or what the
            repository holds is no artifact.
        MissingExtraError: ``huggingface_hub`` is not installed.
    """
    if not re.fullmatch(COMMIT, reference.revision):
        message = (
            f"{reference.name.rstrip('@')}: a revision that can be moved, or none; expected owner/repository@COMMIT "
            f"with a full commit hash of 40 digits{_commit_now(reference)}"
        )
        raise ArtifactError(message)
    place = folder / reference.repository / reference.revision
    if place.is_dir():
        return place
    if (forbidden := offline()) is not None:
        message = (
            f"{reference.name}: not on this machine, and {forbidden} forbids the network; unset it and run "
            f"'ugrn artifacts path {reference.name}' once, or copy the artifact's folder to {place}"
        )
        raise ArtifactError(message)
    hub = _client()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=place.parent) as held:
        part = Path(held) / "artifact"
        _download(hub, reference, part)
        open_artifact(part)
        try:
            part.rename(place)
        except OSError:
            if not place.is_dir():  # else another process was faster: its copy is the same commit, and verified
                raise
    return place


def _download(hub: Any, reference: HubReference, part: Path) -> None:
    """Fetch the files that an artifact may have, and no others, as plain files."""
    wanted = [MANIFEST, *sorted(REQUIRED | OPTIONAL)]
    try:
        hub.snapshot_download(reference.repository, revision=reference.revision, local_dir=part, allow_patterns=wanted)
    except Exception as error:  # noqa: BLE001 - raised by the client, its HTTP library and the sockets below, in turn
        said = " ".join(str(error).split())
        message = (
            f"{reference.name}: cannot be fetched ({type(error).__name__}: {said}); check the name, your network and, "
            "for a repository that is not public, HF_TOKEN"
        )
        raise ArtifactError(message) from error
    shutil.rmtree(part / ".cache", ignore_errors=True)  # the client's notes on what it fetched


def _commit_now(reference: HubReference) -> str:
    """The commit of a branch or tag now, as a part of a message; empty where that cannot be known."""
    if offline() is not None:
        return ""
    try:
        commit = _client().HfApi().repo_info(reference.repository, revision=reference.revision or None).sha
    except Exception:  # noqa: BLE001 - as for `_download`; the message can do without
        return ""
    return f"; now that is {reference.repository}@{commit}"


def _client() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        what = "fetching artifacts from a model hub (huggingface_hub)"
        raise MissingExtraError(what, "hub") from error
    return huggingface_hub
