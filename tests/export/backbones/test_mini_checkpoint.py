"""Checkpoints of the mini backbone: folders of ``ugrn pretrain``, and artifacts that hold weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ugrn.export.backbones.mini import HEADLESS_CARD, TOKEN_HEAD, FinishedGenes, MiniBackbone, MiniConfig
from ugrn.export.backbones.mini_checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ugrn.export.graph.parity import TOLERANCE, autograd_reference
from ugrn.export.graph.probe import Probe, random_inputs, to_tensors
from ugrn.export.registry import load_backbone
from ugrn.runtime import bundled_artifact, open_artifact
from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.engine.session import GraphSession, RuntimeSettings
from ugrn.runtime.errors import ArtifactError, InputError

Weights = dict[str, Tensor]


@pytest.fixture
def copied(untrained: Path, tmp_path: Path) -> Path:
    """A copy of an artifact, to be changed."""
    return Path(shutil.copytree(untrained, tmp_path / "copied"))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((folder / "artifact.json").read_text())
    change(manifest)
    (folder / "artifact.json").write_text(json.dumps(manifest))


def change_weights(folder: Path, change: Callable[[Weights], Weights]) -> None:
    """Other weights, which the manifest lists as its own."""
    path = folder / "weights.safetensors"
    save_file(change(load_file(path)), path)
    edit_manifest(folder, lambda manifest: manifest["files"].update({path.name: file_entry(path)}))


def without_head(weights: Weights) -> Weights:
    return {name: tensor for name, tensor in weights.items() if name not in TOKEN_HEAD}


def state(backbone: object) -> Weights:
    return cast(torch.nn.Module, backbone).state_dict()


def assert_same(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name


def test_an_artifact_is_the_checkpoint_it_was_exported_from(untrained: Path, backbone: MiniBackbone) -> None:
    found = load_checkpoint(untrained)
    assert_same(state(found.backbone), state(backbone))
    assert not found.backbone.training
    assert found.backbone.shape == backbone.shape
    assert list(found.backbone.card.readouts) == list(backbone.card.readouts)
    assert found.backbone.symbols == backbone.symbols
    assert found.aliases == {"OLDNAME": "GENE5"}
    assert found.context == ["GENE3", "GENE7", "GENE50"]
    assert found.metadata == {"licence": "a licence"}  # how it was exported is said anew by the next export


@pytest.mark.parametrize("layers", [1, 3])
def test_any_size_is_read_again(layers: int, tmp_path: Path) -> None:
    torch.manual_seed(layers)
    table = FinishedGenes(30, 40)
    table.table.normal_()
    made = MiniBackbone(MiniConfig(40, layers, 4, 56, 8), [f"GENE{row}" for row in range(30)], table).eval()
    embeddings = np.ones((30, 2), np.float16)
    save_checkpoint(Checkpoint(made, {}, ["GENE1"], {"licence": "MIT"}, embeddings, "a text\n"), tmp_path)
    loaded = load_backbone("mini", tmp_path)
    assert_same(state(loaded.backbone), state(made))
    assert list(loaded.context) == ["GENE1"]
    assert (loaded.origin.licence, loaded.origin.licence_text) == ("MIT", "a text\n")
    np.testing.assert_array_equal(cast(Any, loaded.embeddings), embeddings)


def test_the_bundled_weights_compute_what_the_bundled_graphs_do() -> None:
    """Module and graphs, value and gradient; both against float64 autograd too."""
    folder = bundled_artifact()
    loaded = load_backbone("mini", folder)
    assert loaded.embeddings is not None
    assert "gene_embeddings" in loaded.origin.provenance
    assert list(loaded.backbone.card.readouts) == ["mvc", "attn"]
    probe = Probe(loaded.backbone, "mvc", open_artifact(folder).manifest.baseline)
    module, reference = probe.module(tangent=True), probe.module(tangent=False, double=True)
    sessions = [GraphSession(folder / name, RuntimeSettings("cpu")) for name in ("vvp.onnx", "gdt.onnx")]
    for shape in ((3, 4, 0, 60), (2, 3, 9, 40)):
        inputs = random_inputs(probe.genes, shape, np.random.default_rng(0), (-4, 6))
        with torch.no_grad():
            mine = [output.numpy() for output in module(*to_tensors(inputs))]
        for found in (mine, *(session.run(*inputs) for session in sessions)):
            for output, expected in zip(found, autograd_reference(reference, inputs), strict=False):
                assert np.abs(output - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_weights_without_the_token_head_offer_what_they_have(copied: Path, tmp_path: Path) -> None:
    change_weights(copied, without_head)
    found = load_checkpoint(copied)
    assert found.backbone.card == HEADLESS_CARD
    assert list(HEADLESS_CARD.readouts) == ["mvc", "attn"]
    assert not any(state(found.backbone)[name].any() for name in TOKEN_HEAD)
    (tmp_path / "saved").mkdir()
    save_checkpoint(found, tmp_path / "saved")
    assert (tmp_path / "saved" / "weights.safetensors").read_bytes() == (copied / "weights.safetensors").read_bytes()
    loaded = load_backbone("mini", tmp_path / "saved")
    assert loaded.backbone.card == HEADLESS_CARD
    assert_same(state(loaded.backbone), state(found.backbone))


def test_a_token_head_of_zeros_is_none(copied: Path) -> None:
    change_weights(copied, lambda weights: weights | {name: torch.zeros_like(weights[name]) for name in TOKEN_HEAD})
    assert load_checkpoint(copied).backbone.card == HEADLESS_CARD


def test_artifacts_without_weights_open_but_are_no_checkpoint(copied: Path) -> None:
    (copied / "weights.safetensors").unlink()
    edit_manifest(copied, lambda manifest: manifest["files"].pop("weights.safetensors"))
    assert len(open_artifact(copied).names) == 60
    with pytest.raises(InputError, match=r"artifact of mini without the weights .*; give the checkpoint folder"):
        load_backbone("mini", copied)
    edit_manifest(copied, lambda manifest: manifest.update(provenance={"adapter": {}}))
    with pytest.raises(InputError, match="an adapted artifact of mini without the weights"):
        load_backbone("mini", copied)


def test_artifacts_of_other_backbones_are_no_checkpoint(copied: Path) -> None:
    edit_manifest(copied, lambda manifest: manifest.update(backbone="scgpt"))
    with pytest.raises(InputError, match="artifact of scgpt without the weights of a mini backbone"):
        load_backbone("mini", copied)


def test_weights_that_were_changed_are_refused(copied: Path) -> None:
    raw = (copied / "weights.safetensors").read_bytes()
    (copied / "weights.safetensors").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=r"weights\.safetensors: found .* sha256 .*changed"):
        load_backbone("mini", copied)


CHANGES: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "other shape": (lambda weights: weights | {"cls": torch.zeros(3)}, r"cls has shape \[3\], expected \[16\]"),
    "fewer tensors": (
        lambda weights: {k: v for k, v in weights.items() if k != "gate.weight"},
        "missing: gate",
    ),
    "half a head": (lambda weights: {k: v for k, v in weights.items() if k != "mask"}, "missing: mask"),
    "not finite": (lambda weights: weights | {"cls": weights["cls"] * float("nan")}, "cls holds NaN"),
    "more tensors": (
        lambda weights: weights | {"stack.2.out.bias": torch.zeros(16)},
        "not part of .*stack.2.out",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_weights_of_another_shape_are_one_clear_error(name: str, copied: Path) -> None:
    change, words = CHANGES[name]
    change_weights(copied, change)
    with pytest.raises(InputError, match=rf"weights\.safetensors: does not fit the shape .*{words}") as error:
        load_backbone("mini", copied)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("sizes", [{"layers": 3}, {"layers": 1}, {"feedforward": 31}, {"width": 18}, {"heads": 5}])
def test_manifests_of_another_shape_are_one_clear_error(sizes: dict[str, int], copied: Path) -> None:
    edit_manifest(copied, lambda manifest: manifest["shape"].update(sizes))
    with pytest.raises(InputError, match=r"weights\.safetensors: does not fit the shape"):
        load_backbone("mini", copied)


def test_sizes_that_are_none_are_one_clear_error(tmp_path: Path, new_backbone: Callable[[int], MiniBackbone]) -> None:
    save_checkpoint(Checkpoint(new_backbone(0), {}, [], {}), tmp_path)
    path = tmp_path / "pretrained.json"
    recorded = json.loads(path.read_text())
    size = recorded["size"]
    wrong = [size | {name: each} for name in size if name != "text_width" for each in (None, "x", [1], 0, -1, 10**12)]
    for each in (None, [1], {}, size | {"text_width": "x"}, *wrong):
        path.write_text(json.dumps(recorded | {"size": each}))
        with pytest.raises(InputError, match="not a pretrained mini backbone"):
            load_checkpoint(tmp_path)


def test_weights_that_are_no_safetensors_are_one_clear_error(copied: Path) -> None:
    path = copied / "weights.safetensors"
    path.write_bytes(b"none")
    edit_manifest(copied, lambda manifest: manifest["files"].update({path.name: file_entry(path)}))
    with pytest.raises(InputError, match=r"weights\.safetensors: does not fit the shape"):
        load_backbone("mini", copied)
