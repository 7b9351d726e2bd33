"""Artifacts that are written, and those that are refused before anything is."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from typer.testing import CliRunner

from ugrn.cli.main import app
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.backbones.mini_checkpoint import load_checkpoint
from ugrn.export.bundle.artifact import ExportSettings, write_artifact
from ugrn.export.graph.parity import ParityError
from ugrn.export.graph.probe import Probe
from ugrn.export.model.base import Origin
from ugrn.runtime import open_artifact
from ugrn.runtime.errors import InputError


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["token", "masked"])
def test_query_readouts_export_too(tmp_path: Path, backbone: MiniBackbone, readout: str) -> None:
    manifest = write_artifact(backbone, tmp_path / "a", ExportSettings(readout), Origin())
    deviations = [v for outputs in manifest.parity["deviation"].values() for v in outputs.values()]
    assert len(deviations) == 3
    assert max(deviations) <= 1e-4
    assert len(manifest.parity["shapes"]) == 5


@pytest.fixture
def exported_already(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], None]], None]:
    """Lets exports take the graphs of `untrained`, after a change, instead of tracing."""

    def install(change: Callable[[Path], None]) -> None:
        def export(probe: Probe, tangent: bool, path: Path) -> None:
            shutil.copyfile(untrained / path.name, path)
            change(path)

        monkeypatch.setattr("ugrn.export.bundle.artifact.export_onnx", export)

    return install


def test_a_deviating_graph_leaves_nothing_behind(
    tmp_path: Path, backbone: MiniBackbone, exported_already: Callable[[Callable[[Path], None]], None]
) -> None:
    exported_already(lambda path: None)
    other = copy.deepcopy(backbone)
    with torch.no_grad():
        other.cell_query.bias += 0.01
    with pytest.raises(ParityError, match=r"vvp.onnx|gdt.onnx"):
        write_artifact(other, tmp_path / "a", ExportSettings(), Origin())
    assert list(tmp_path.iterdir()) == []
    write_artifact(backbone, tmp_path / "a", ExportSettings(), Origin())


def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, backbone: MiniBackbone, exported_already: Callable[[Callable[[Path], None]], None]
) -> None:
    broken = copy.deepcopy(backbone)
    with torch.no_grad():
        broken.value2.bias[0] = float("nan")

    def break_graph(path: Path) -> None:
        model = onnx.load(path)
        (bias,) = [each for each in model.graph.initializer if each.name == "backbone.value2.bias"]
        bias.CopyFrom(onnx.numpy_helper.from_array(broken.value2.bias.detach().numpy(), bias.name))
        onnx.save(model, path)

    exported_already(break_graph)
    with pytest.raises(ParityError, match="NaN"):
        write_artifact(broken, tmp_path / "a", ExportSettings(), Origin())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_artifact_is_exported_with_another_readout_and_as_torchscript(untrained: Path, tmp_path: Path) -> None:
    """Given the same weights, whose licence and names go along; what comes out can be exported again."""
    arguments = ["export", "mini", str(untrained), "-o", str(tmp_path / "attn"), "--readout", "attn", "--torchscript"]
    done = CliRunner().invoke(app, [*arguments, "--context-size", "2"])
    assert done.exit_code == 0, done.output
    opened, first = open_artifact(tmp_path / "attn"), open_artifact(untrained)
    assert opened.manifest.readout == "attn"
    assert opened.manifest.licence == first.manifest.licence
    assert opened.names.symbols == first.names.symbols
    assert opened.context.tolist() == first.context.tolist()[:2]
    assert set(opened.manifest.parity["deviation"]) == {"vvp.onnx", "gdt.onnx", "vvp.ts", "gdt.ts"}
    for name in ("weights.safetensors", "genes.txt", "aliases.tsv"):
        assert opened.manifest.files[name] == first.manifest.files[name]
    assert load_checkpoint(tmp_path / "attn").metadata == load_checkpoint(untrained).metadata


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
