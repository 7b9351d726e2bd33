"""Exported graphs against float64 autograd."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.graph.parity import autograd_reference, check_parity, deviation_beyond_kinks, difference_reference
from ugrn.export.graph.probe import Probe, random_inputs
from ugrn.runtime.engine.session import GraphSession, RuntimeSettings


@pytest.mark.slow
def test_graphs_agree_with_autograd_at_fresh_shapes(
    exported: Path, backbone: MiniBackbone, random: np.random.Generator
) -> None:
    reference = Probe(backbone, "mvc", 0.0).module(tangent=False, double=True)
    for shape in ((1, 1, 0, 1), (1, 9, 1, 30), (5, 2, 20, 3), (3, 4, 7, 11), (2, 8, 2, 1)):
        inputs = random_inputs(60, shape, random, (-4, 6))
        expected = autograd_reference(reference, inputs)
        for name, outputs in (("vvp.onnx", 1), ("gdt.onnx", 2)):
            found = GraphSession(exported / name, RuntimeSettings("cpu")).run(*inputs)
            assert len(found) == outputs
            for one, other in zip(found, expected, strict=False):
                assert one.shape == (shape[0], shape[1], shape[3])
                assert np.abs(one - other).max() <= 1e-4 * max(np.abs(other).max(), 1e-3)


def test_central_differences_agree_with_autograd(backbone: MiniBackbone) -> None:
    module = Probe(backbone, "token", 0.25).module(tangent=False, double=True)
    inputs = random_inputs(60, (2, 3, 4, 5), np.random.default_rng(8), (-3, 5))
    for found, known in zip(difference_reference(module, inputs), autograd_reference(module, inputs), strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-5, atol=1e-8)


def test_whole_genome_backbones_are_checked_cell_by_cell(
    untrained: Path, backbone: MiniBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugrn.export.graph.parity.WHOLE_GENOME", -1)
    parity = check_parity(Probe(backbone, "mvc", 0.0), untrained, (-4.0, 6.0))
    assert {(shape["sources"], shape["levels"]) for shape in parity["shapes"]} == {(1, 1)}
    assert parity["deviation"]["gdt.onnx"]["gradient"] < 1e-4


class Kink(torch.nn.Module):
    """relu(level - 0.5) for every target."""

    def forward(self, context: Tensor, values: Tensor, sources: Tensor, levels: Tensor, targets: Tensor):  # type: ignore[no-untyped-def]
        return (torch.relu(levels - 0.5).unsqueeze(2).expand(*levels.shape, len(targets)),)


@pytest.mark.parametrize(("level", "gradient", "beyond"), [(0.5, 1.0, 0.0), (0.5, 2.0, 1.0), (0.6, 0.0, 1.0)])
def test_either_slope_of_a_kink_is_right_and_nothing_else(level: float, gradient: float, beyond: float) -> None:
    none, one = np.zeros(0, np.int64), np.zeros(1, np.int64)
    inputs = (none, np.zeros(0, np.float32), one, np.array([[level]], np.float32), one)
    found = deviation_beyond_kinks(Kink(), inputs, np.array([[[gradient]]], np.float32))  # type: ignore[arg-type]
    assert found == pytest.approx(beyond)
