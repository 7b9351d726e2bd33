"""The perceptron against its formula, at and around the size of its chunks."""

from __future__ import annotations

import numpy as np
import pytest

from ugrn.runtime.translator.mlp import COLUMNS, Mlp


@pytest.mark.parametrize("total", [0, 1, COLUMNS - 1, COLUMNS, 2 * COLUMNS + 1])
@pytest.mark.parametrize("widths", [(5, 1), (5, 7, 1), (5, 7, 3, 1)])
def test_logits_equal_the_formula(total: int, widths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    shapes = list(zip(widths[:-1], widths[1:], strict=True))
    mlp = Mlp(
        rng.normal(size=5).astype(np.float32),
        rng.uniform(1e-3, 2, 5).astype(np.float32),
        tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes),
        tuple(rng.normal(size=out).astype(np.float32) for _, out in shapes),
    )
    features = rng.normal(size=(total, 5)).astype(np.float32)
    kept = features.copy()
    x = np.arcsinh((features.astype(np.float64) - mlp.centre) / mlp.scale)
    for weight, bias in zip(mlp.weights[:-1], mlp.biases[:-1], strict=True):
        x = np.tanh(x @ weight + bias)
    expected = (x @ mlp.weights[-1] + mlp.biases[-1])[:, 0]
    found = mlp.logits(features)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_array_equal(mlp.logits_by_feature(features.T), found)
    np.testing.assert_array_equal(features, kept)
