"""The artifact of format 1 that is kept: opened by most tests, and the promise that old artifacts open for ever.

It holds the random backbone of `models.make_backbone`, a translator with products of embeddings, an alias and a
licence. ``python -m tests.helpers.archive FOLDER`` makes such an artifact with today's code; a new format gets an
archive of its own beside this one, which is never made anew.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

import polars as pl

from ugrn.export.bundle.artifact import ExportSettings, add_translator, write_artifact
from ugrn.export.bundle.card import model_card
from ugrn.export.model.base import Origin
from ugrn.runtime import load
from ugrn.runtime.artifact.folder import open_artifact
from ugrn.runtime.artifact.manifest import EMBEDDINGS, MANIFEST, file_entry

from .models import CONTEXT, METRICS, make_backbone, make_joined_translator, make_table

FORMAT_1 = Path(__file__).resolve().parents[1] / "archives" / "format-1"
SCORES = FORMAT_1.with_suffix(".csv")
ORIGIN = Origin({"OLDNAME": "GENE5"}, "a licence", "the text of a licence\n")
PAIRS = [(f"GENE{a}", f"GENE{b}") for a in (0, 3, 17, 59) for b in (1, 7, 29, 50, 58)]


def make_archive(folder: Path) -> None:
    """Write the artifact, and its features and scores of `PAIRS` as a table beside it."""
    write_artifact(make_backbone(), folder, ExportSettings(context=CONTEXT, embeddings=make_table()), ORIGIN)
    add_translator(folder, make_joined_translator(), METRICS)
    scores(folder).write_csv(folder.with_suffix(".csv"))


def scores(folder: Path) -> pl.DataFrame:
    """Probability, logits and features of `PAIRS`."""
    scorer = load(folder, provider="cpu", threads=1)
    return scorer.score(PAIRS).join(scorer.features(PAIRS), on=["source", "target"])


def copy_without(names: Collection[str], folder: Path) -> Path:
    """A copy of the archive that lacks some of its files: ``translator.npz``, the embeddings."""
    shutil.copytree(FORMAT_1, folder)
    for name in names:
        (folder / name).unlink()
    path = folder / MANIFEST
    content = json.loads(path.read_text(encoding="utf-8"))
    content["files"] = {name: entry for name, entry in content["files"].items() if name not in names}
    content["metrics"] = {}
    path.write_text(json.dumps(content), encoding="utf-8")
    card = model_card(open_artifact(folder).manifest)
    for name in ("MODEL_CARD.md", "README.md"):
        (folder / name).write_text(card, encoding="utf-8")
    content["files"]["MODEL_CARD.md"] = file_entry(folder / "MODEL_CARD.md")
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder


def untrained(folder: Path) -> Path:
    """A copy of the archive without translator and embeddings."""
    return copy_without(("translator.npz", EMBEDDINGS), folder)


if __name__ == "__main__":
    make_archive(Path(sys.argv[1]))
