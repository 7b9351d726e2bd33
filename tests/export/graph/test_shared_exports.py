"""Graphs are exported once in a test run: by all that they depend on, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from tests.helpers.exports import shared_exports
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.graph.probe import Probe


def test_a_graph_is_kept_by_all_it_depends_on(tmp_path: Path, new_backbone: Callable[[int], MiniBackbone]) -> None:
    exported: list[Probe] = []

    def export(probe: Probe, tangent: bool, path: Path) -> None:
        exported.append(probe)
        path.write_text(f"graph {len(exported)}")

    once = shared_exports(export, tmp_path / "kept")
    moved = new_backbone(0)
    with torch.no_grad():
        moved.cell_query.bias[3] += 1e-6
    others = [
        (Probe(new_backbone(0), "token", 0.0), False),
        (Probe(new_backbone(0), "mvc", 0.5), False),
        (Probe(new_backbone(0), "mvc", 0.0), True),
        (Probe(new_backbone(1), "mvc", 0.0), False),
        (Probe(moved, "mvc", 0.0), False),
    ]
    for place, (probe, tangent) in enumerate([(Probe(new_backbone(0), "mvc", 0.0), False), *others], 1):
        for _ in range(2):
            once(probe, tangent, tmp_path / "a.onnx")
            assert (tmp_path / "a.onnx").read_text() == f"graph {place}"
    assert len(exported) == 1 + len(others)
