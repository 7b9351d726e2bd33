"""The artifact of format 1 that is kept: opened by most tests, and the promise that old artifacts open for ever.

It holds the random backbone of `models.make_backbone`, a translator with products of embeddings, an alias and a
licence. ``python -m tests.helpers.archive FOLDER`` makes such an artifact with today's code; a new format gets an
archive of its own beside this one, which is never made anew.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import polars as pl

from ugrn.export.bundle.seal import add_translator, seal
from ugrn.runtime import load
from ugrn.runtime.artifact.folder import open_artifact
from ugrn.runtime.artifact.manifest import EMBEDDINGS

from .models import CONTEXT, METRICS, make_joined_translator, make_table

FORMAT_1 = Path(__file__).resolve().parents[1] / "archives" / "format-1"
SCORES = FORMAT_1.with_suffix(".csv")
PAIRS = [(f"GENE{a}", f"GENE{b}") for a in (0, 3, 17, 59) for b in (1, 7, 29, 50, 58)]


def make_archive(folder: Path) -> None:
    """Write the artifact, and its features and scores of `PAIRS` as a table beside it."""
    from ugrn.export.bundle.artifact import ExportSettings, write_artifact

    from .backbones import ORIGIN, make_backbone

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
    seal(folder, replace(open_artifact(FORMAT_1).manifest, metrics={}))
    return folder


def untrained(folder: Path) -> Path:
    """A copy of the archive without translator and embeddings."""
    return copy_without(("translator.npz", EMBEDDINGS), folder)


if __name__ == "__main__":
    make_archive(Path(sys.argv[1]))
