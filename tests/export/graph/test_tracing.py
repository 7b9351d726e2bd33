"""Exported files: what is in them, and that they run elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ugrn.export.graph import tracing
from ugrn.export.graph.probe import random_inputs
from ugrn.runtime.artifact.folder import open_artifact
from ugrn.runtime.engine.session import GraphSession, RuntimeSettings


@pytest.mark.slow
def test_torchscript_runs_at_other_shapes(exported: Path) -> None:
    inputs = random_inputs(60, (3, 2, 9, 4), np.random.default_rng(1))
    expected = GraphSession(exported / "gdt.onnx", RuntimeSettings("cpu")).run(*inputs)
    module = torch.jit.load(str(exported / "gdt.ts"))
    with torch.no_grad():
        found = module(*(torch.from_numpy(a) for a in inputs))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-4, atol=1e-5)
    assert {"vvp.ts", "gdt.ts"} <= set(open_artifact(exported).manifest.parity["deviation"])


@pytest.mark.slow
def test_weights_are_inside_the_file_and_ops_are_standard(exported: Path) -> None:
    model = onnx.load(exported / "gdt.onnx", load_external_data=False)
    assert not [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert {node.domain for node in model.graph.node} == {""}
    dims = {i.name: [d.dim_param for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    assert all(all(names) for names in dims.values()), dims


@pytest.mark.slow
def test_graphs_do_not_say_where_they_were_made(exported: Path) -> None:
    here = Path(tracing.__file__).resolve()
    for name in ("vvp.onnx", "gdt.onnx"):
        content = (exported / name).read_bytes()
        for told in (b"stack_trace", b"site-packages", *(str(folder).encode() for folder in here.parents[:-2])):
            assert told not in content
