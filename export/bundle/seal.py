"""The last step of an artifact folder: its card, and the manifest with the hash of every other file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ugrn.runtime.artifact.folder import open_artifact
from ugrn.runtime.artifact.manifest import MANIFEST, Manifest, file_entry
from ugrn.runtime.translator.translator import Translator, save_translator

from .card import model_card
from .folder import new_folder

HUB_CARD = "README.md"


def seal(part: Path, manifest: Manifest) -> Manifest:
    """Write model card and manifest over the files of a folder.

    The card is there once more as ``README.md``, which model hubs show; that copy may be edited there, so the manifest
    does not list it.
    """
    (part / "MODEL_CARD.md").write_text(model_card(manifest), encoding="utf-8")
    listed = {path.name: file_entry(path) for path in sorted(part.iterdir()) if path.name not in (MANIFEST, HUB_CARD)}
    shutil.copyfile(part / "MODEL_CARD.md", part / HUB_CARD)
    manifest = replace(manifest, files=listed)
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False)
    (part / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


def add_translator(
    artifact: Path, translator: Translator, metrics: Mapping[str, Any], destination: Path | None = None
) -> Manifest:
    """Put a trained translator into an artifact, in place or into a copy at `destination`."""
    opened = open_artifact(artifact)
    with new_folder(destination or artifact, overwrite=destination is None) as part:
        for name in opened.manifest.files:
            shutil.copyfile(artifact / name, part / name)
        save_translator(translator, part / "translator.npz")
        return seal(part, replace(opened.manifest, metrics=dict(metrics)))
