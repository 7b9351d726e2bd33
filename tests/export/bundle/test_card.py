"""The model card as a model hub reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from ugrn.export.bundle.card import model_card
from ugrn.runtime import bundled_artifact, open_artifact


@pytest.mark.parametrize(
    ("licence", "short", "name"),
    [
        ("GPL-3.0-or-later", "gpl-3.0", None),
        ("MIT", "mit", None),
        ("LicenseRef-scFoundation-Model-License", "other", "LicenseRef-scFoundation-Model-License"),
        ('of "their": own # and\nmore', "other", 'of "their": own # and\nmore'),
    ],
)
def test_the_header_is_what_hubs_read(artifact: Path, licence: str, short: str, name: str | None) -> None:
    manifest = replace(open_artifact(artifact).manifest, licence=licence)
    read = ModelCard(model_card(manifest), ignore_metadata_errors=False)
    assert read.data.library_name == "ugrn"
    assert read.data.license == short
    assert read.data.license_name == name
    assert {"gene-regulatory-network", "onnx", "mini"} <= set(read.data.tags)
    assert "# ugrn artifact: mini" in read.text


def test_the_hubs_copy_may_be_edited(artifact: Path) -> None:
    card = (artifact / "README.md").read_bytes()
    assert card == (artifact / "MODEL_CARD.md").read_bytes()
    assert "README.md" not in open_artifact(artifact).manifest.files


def test_the_bundled_card_is_what_the_code_writes() -> None:
    bundled = open_artifact(bundled_artifact())
    assert (bundled.folder / "MODEL_CARD.md").read_text(encoding="utf-8") == model_card(bundled.manifest)
    assert (bundled.folder / "README.md").read_bytes() == (bundled.folder / "MODEL_CARD.md").read_bytes()
