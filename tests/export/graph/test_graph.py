"""Exported graphs against float64 autograd, and the refusal to write what deviates."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.bundle import folder as bundle
from ugrn.export.bundle.folder import ExportSettings, write_artifact
from ugrn.export.graph import graph
from ugrn.export.graph.graph import (
    ParityError,
    Probe,
    _beyond_kinks,
    autograd_reference,
    difference_reference,
    random_inputs,
)
from ugrn.export.model.base import Origin
from ugrn.runtime.artifact.folder import open_artifact
from ugrn.runtime.engine.session import GraphSession, RuntimeSettings
from ugrn.runtime.errors import InputError


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


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["token", "masked"])
def test_query_readouts_export_too(tmp_path: Path, backbone: MiniBackbone, readout: str) -> None:
    manifest = write_artifact(backbone, tmp_path / "a", ExportSettings(readout), Origin())
    deviations = [v for outputs in manifest.parity["deviation"].values() for v in outputs.values()]
    assert len(deviations) == 3
    assert max(deviations) <= 1e-4
    assert len(manifest.parity["shapes"]) == 5


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
    here = Path(graph.__file__).resolve()
    for name in ("vvp.onnx", "gdt.onnx"):
        content = (exported / name).read_bytes()
        for told in (b"stack_trace", b"site-packages", *(str(folder).encode() for folder in here.parents[:-2])):
            assert told not in content


def test_a_deviating_graph_leaves_nothing_behind(
    tmp_path: Path, untrained: Path, new_backbone: Callable[[int], MiniBackbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_backbone(0)
    with torch.no_grad():
        other.cell_query.bias += 0.01
    monkeypatch.setattr(
        bundle, "export_onnx", lambda probe, tangent, path: shutil.copyfile(untrained / path.name, path)
    )
    with pytest.raises(ParityError, match=r"vvp.onnx|gdt.onnx"):
        write_artifact(other, tmp_path / "a", ExportSettings(), Origin())
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, untrained: Path, new_backbone: Callable[[int], MiniBackbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backbone and graph agree, in that both give NaN."""
    broken = new_backbone(0)
    with torch.no_grad():
        broken.cls[0] = float("nan")

    def export(probe: Probe, tangent: bool, path: Path) -> None:
        model = onnx.load(untrained / path.name)
        for tensor in model.graph.initializer:
            weights = onnx.numpy_helper.to_array(tensor)
            if weights.dtype == np.float32 and weights.size > 1:
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.full_like(weights, np.nan), tensor.name))
        onnx.save(model, path)

    monkeypatch.setattr(bundle, "export_onnx", export)
    with pytest.raises(ParityError, match="NaN"):
        write_artifact(broken, tmp_path / "a", ExportSettings(), Origin())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ExportSettings(readout="aura"), "mvc"),
        (ExportSettings(context=("GENE1", "NOPE")), "NOPE"),
    ],
)
def test_bad_settings_are_one_clear_error(
    tmp_path: Path, backbone: MiniBackbone, settings: ExportSettings, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        write_artifact(backbone, tmp_path / "a", settings, Origin())


def test_folders_are_not_overwritten_unasked(tmp_path: Path, backbone: MiniBackbone) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "precious.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="another"):
            write_artifact(backbone, tmp_path / "a", ExportSettings(overwrite=overwrite), Origin())
    assert (tmp_path / "a" / "precious.txt").read_text() == "mine"
    with pytest.raises(InputError, match="mkdir"):
        write_artifact(backbone, tmp_path / "no" / "a", ExportSettings(), Origin())


def test_a_folder_half_replaced_by_a_killed_run_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "art"
    (tmp_path / ".art.ugrn-old").mkdir()
    (tmp_path / ".art.ugrn-old" / "artifact.json").write_text("{}")
    (tmp_path / ".art.ugrn-tmp").mkdir()
    with bundle.new_folder(folder, overwrite=True) as part:
        assert (folder / "artifact.json").read_text() == "{}"
        (part / "artifact.json").write_text("new")
    assert (folder / "artifact.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["art"]


def test_a_failure_while_writing_keeps_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "art"
    folder.mkdir()
    (folder / "artifact.json").write_text("old")
    with pytest.raises(KeyboardInterrupt), bundle.new_folder(folder, overwrite=True):
        raise KeyboardInterrupt
    assert (folder / "artifact.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["art"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="not an artifact"):
        bundle.check_folder(tmp_path / "file", overwrite=True)


def test_central_differences_agree_with_autograd(backbone: MiniBackbone) -> None:
    module = Probe(backbone, "token", 0.25).module(tangent=False, double=True)
    inputs = random_inputs(60, (2, 3, 4, 5), np.random.default_rng(8), (-3, 5))
    for found, known in zip(difference_reference(module, inputs), autograd_reference(module, inputs), strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_whole_genome_backbones_are_checked_cell_by_cell(
    tmp_path: Path, backbone: MiniBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugrn.export.graph.graph.WHOLE_GENOME", -1)
    manifest = write_artifact(backbone, tmp_path / "a", ExportSettings(), Origin())
    assert {(shape["sources"], shape["levels"]) for shape in manifest.parity["shapes"]} == {(1, 1)}
    assert manifest.parity["deviation"]["gdt.onnx"]["gradient"] < 1e-4


class Kink(torch.nn.Module):
    """relu(level - 0.5) for every target."""

    def forward(self, context: Tensor, values: Tensor, sources: Tensor, levels: Tensor, targets: Tensor):  # type: ignore[no-untyped-def]
        return (torch.relu(levels - 0.5).unsqueeze(2).expand(*levels.shape, len(targets)),)


@pytest.mark.parametrize(("level", "gradient", "beyond"), [(0.5, 1.0, 0.0), (0.5, 2.0, 1.0), (0.6, 0.0, 1.0)])
def test_either_slope_of_a_kink_is_right_and_nothing_else(level: float, gradient: float, beyond: float) -> None:
    none, one = np.zeros(0, np.int64), np.zeros(1, np.int64)
    inputs = (none, np.zeros(0, np.float32), one, np.array([[level]], np.float32), one)
    found = _beyond_kinks(Kink(), inputs, np.array([[[gradient]]], np.float32))  # type: ignore[arg-type]
    assert found == pytest.approx(beyond)
