"""Translators: written, read back, and their functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ugrn.runtime.translator.translator import Calibration, Translator, load_translator, save_translator, sigmoid


def test_translators_round_trip_with_every_calibration(
    tmp_path: Path, new_translator: Callable[[int], Translator]
) -> None:
    translator = new_translator(0)
    x = np.linspace(-4, 4, 50, dtype=np.float32)
    for kind in ("none", "temperature", "platt", "isotonic"):
        curve = Calibration(kind, np.array([-2, 0, 2], "f4"), np.array([0.1, 0.5, 0.8], "f4"))  # type: ignore[arg-type]
        save_translator(Translator(translator.mlps, curve, 0.3), tmp_path / "t.npz")
        found = load_translator(tmp_path / "t.npz")
        np.testing.assert_array_equal(found.calibration(x), curve(x))
        assert found.prevalence == 0.3
    assert sigmoid(np.array([-1e9, 0, 1e9], "f4")).tolist() == pytest.approx([0, 0.5, 1])
