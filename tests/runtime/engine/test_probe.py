"""Features of pairs against slow references, and the blocks that fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.graph.parity import autograd_reference
from ugrn.export.graph.probe import Probe
from ugrn.runtime import load
from ugrn.runtime.artifact.folder import Artifact, open_artifact
from ugrn.runtime.engine.grid import level_grid
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.engine.session import RuntimeSettings

Squeeze = Callable[[Path, int, int], None]
RNG = np.random.default_rng(11)
ROWS = [(f"GENE{a}", f"GENE{b}") for a, b in RNG.permutation([(a, b) for a in range(20) for b in range(60) if a != b])]
ROWS = ROWS[:400]


def slow_features(artifact: Artifact, backbone: MiniBackbone, pairs: list[tuple[str, str]]) -> dict[str, np.ndarray]:
    """One pair, one level at a time, float64, reverse mode."""
    manifest, context = artifact.manifest, artifact.context
    module = Probe(backbone, "mvc", manifest.baseline).module(tangent=False, double=True)
    out: dict[str, list[list[float]]] = {"vvp": [], "gdt": []}
    for source, target in pairs:
        s, t = np.array([int(source[4:])]), np.array([int(target[4:])])

        def cell(level: float, s: np.ndarray = s, t: np.ndarray = t) -> tuple[float, float]:
            inputs = (context, np.full(len(context), manifest.baseline, np.float32), s, np.array([[level]], "f4"), t)
            value, gradient = autograd_reference(module, inputs)
            return float(value.item()), float(gradient.item())

        base = cell(manifest.baseline)[0]
        out["vvp"].append([cell(level)[0] - base for level in manifest.vvp_levels])
        out["gdt"].append([cell(level)[1] for level in manifest.gdt_levels])
    return {probe: np.array(rows) for probe, rows in out.items()}


def test_features_equal_one_pair_at_a_time(artifact: Path, backbone: MiniBackbone) -> None:
    pairs = [*ROWS[:12], ("GENE3", "GENE7"), ("GENE50", "GENE1")]  # context genes as source and target
    frame = load(artifact).features(pairs)
    expected = slow_features(open_artifact(artifact), backbone, pairs)
    assert frame["source"].to_list() == [s for s, _ in pairs]
    for probe, values in expected.items():
        found = frame.select(f"{probe}_{k + 1}" for k in range(8)).to_numpy()
        np.testing.assert_allclose(found, values, atol=2e-6 + 1e-5 * np.abs(values).max())


LEVELS = (-3.0, -2.0, -1.0, 0.5, 1.5, 2.0, 4.0, 5.0)


@pytest.mark.parametrize(
    ("gdt_levels", "steep", "flat"),
    [
        ((-3.0, -2.0, -1.0, 0.0, 1.5, 2.0, 4.0, 6.0), 10, 0),  # two levels of ten are too few for another graph
        ((-3.0, -2.0, -1.0, 0.25, 1.0, 3.0, 4.0, 6.0), 8, 5),
        ((-2.5, -1.5, -0.5, 0.25, 1.0, 2.5, 3.5, 4.5), 8, 9),
    ],
)
def test_levels_that_need_no_gradient_take_the_graph_without_it_where_they_are_many(
    artifact: Path, backbone: MiniBackbone, squeeze: Squeeze, gdt_levels: tuple[float, ...], steep: int, flat: int
) -> None:
    opened = open_artifact(artifact)
    opened = replace(opened, manifest=replace(opened.manifest, vvp_levels=LEVELS, gdt_levels=gdt_levels))
    ran = {graph: part.stop - part.start for graph, part in level_grid(opened, ("vvp", "gdt")).graphs.items()}
    assert ran == {"gdt.onnx": steep} | ({"vvp.onnx": flat} if flat else {})
    assert list(level_grid(opened, ("gdt",)).graphs) == ["gdt.onnx"]
    assert list(level_grid(opened, ("vvp",)).graphs) == ["vvp.onnx"]
    pairs = [*ROWS[:5], ("GENE3", "GENE7")]
    expected = slow_features(opened, backbone, pairs)
    sources, targets = np.array([[int(name[4:]) for name in pair] for pair in pairs], np.int32).T
    for levels in (100, 3):
        squeeze(artifact, levels, 30)
        found = Prober(opened, RuntimeSettings("cpu")).features(sources, targets)
        for probe, values in expected.items():
            np.testing.assert_allclose(found[probe], values, atol=2e-6 + 1e-5 * np.abs(values).max())


def test_a_small_memory_budget_gives_the_same_scores(artifact: Path, squeeze: Squeeze) -> None:
    expected = load(artifact).score(ROWS)
    squeeze(artifact, 1, 20)
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu"))
    assert prober.sources_at_once(30) == 1
    assert prober.targets_at_once(1) == 20
    found = load(artifact).score(ROWS)
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-4)


def test_runtime_equals_the_eager_module(artifact: Path, backbone: MiniBackbone) -> None:
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu", threads=1))
    sources, targets = np.array([1, 1, 4], np.int32), np.array([2, 5, 2], np.int32)
    found = prober.features(sources, targets)["gdt"]
    module = Probe(backbone, "mvc", 0.0).module(tangent=True)
    context = torch.from_numpy(prober.artifact.context)
    with torch.no_grad():
        _, gradient = module(
            context, torch.zeros(len(context)), torch.tensor([1, 4]),
            torch.tensor(prober.artifact.manifest.gdt_levels).expand(2, 8), torch.tensor([2, 5]),
        )  # fmt: skip
    expected = torch.stack([gradient[0, :, 0], gradient[0, :, 1], gradient[1, :, 0]])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_levels_are_split_where_one_source_is_too_large(artifact: Path, squeeze: Squeeze) -> None:
    pairs = [(f"GENE{a}", f"GENE{b}") for a in range(4) for b in range(10, 20)]
    whole = load(artifact).features(pairs)
    squeeze(artifact, 3, 10)
    split = load(artifact).features(pairs)
    columns = [name for name in whole.columns if name.startswith(("vvp", "gdt"))]
    np.testing.assert_allclose(split.select(columns).to_numpy(), whole.select(columns).to_numpy(), atol=1e-6)


def test_a_context_that_fills_the_budget_does_not_cut_targets_into_crumbs(artifact: Path, squeeze: Squeeze) -> None:
    squeeze(artifact, 1, 0)
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu"))
    assert prober.block_size(5, 20_000) == (1, 1024)
