"""Fixtures of the tests of runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ugrn.export.bundle.seal import add_translator
from ugrn.runtime import open_artifact
from ugrn.runtime.translator.translator import Calibration


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most four sources in a run of the graph."""
    monkeypatch.setattr("ugrn.runtime.engine.probe.MOST_SOURCES", 4)


@pytest.fixture(scope="session")
def tied(joined: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact with embeddings, whose calibration knows few probabilities."""
    folder = tmp_path_factory.mktemp("tied") / "a"
    steps = np.array([-1, -0.999, 0, 0.001, 1, 1.001], np.float32)
    curve = Calibration("isotonic", steps, np.array([0.1, 0.3, 0.3, 0.6, 0.6, 0.9], np.float32))
    plain = open_artifact(joined)
    add_translator(joined, replace(plain.translator, calibration=curve), plain.manifest.metrics, folder)
    return folder
