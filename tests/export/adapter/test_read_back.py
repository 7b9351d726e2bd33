"""Weights read back from an artifact's graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ugrn.export.adapter.read_back import read_back
from ugrn.export.backbones.mini import FinishedGenes, MiniBackbone, MiniConfig
from ugrn.export.backbones.mini_checkpoint import Checkpoint, save_checkpoint
from ugrn.export.bundle.folder import ExportSettings, write_artifact
from ugrn.export.graph.graph import Probe, random_inputs
from ugrn.export.model.base import Origin
from ugrn.export.registry import load_backbone
from ugrn.runtime import bundled_artifact, open_artifact
from ugrn.runtime.engine.session import GraphSession, RuntimeSettings
from ugrn.runtime.errors import InputError

NOT_IN_THE_GRAPH = ("mask", "decoder.0.weight", "decoder.0.bias", "decoder.2.weight", "decoder.2.bias")


def compare(found: MiniBackbone, expected: MiniBackbone) -> None:
    """All weights that a graph at mvc depends on."""
    width = expected.config.width
    wanted = expected.state_dict()
    for name, tensor in found.state_dict().items():
        known = wanted[name].clone()
        if name in NOT_IN_THE_GRAPH:
            assert not tensor.any()
            continue
        if name.endswith("qkv.bias"):
            known[width : 2 * width] = 0.0  # the keys'
        torch.testing.assert_close(tensor, known, rtol=1e-6, atol=1e-7, msg=name)


def test_what_is_read_back_is_the_checkpoint(untrained: Path, backbone: MiniBackbone) -> None:
    artifact = open_artifact(untrained)
    found = read_back(artifact)
    compare(found.backbone, backbone)
    assert list(found.backbone.card.readouts) == ["mvc"]
    assert found.backbone.symbols == backbone.symbols
    assert found.aliases == {"OLDNAME": "GENE5"}
    assert found.context == ["GENE3", "GENE7", "GENE50"]
    assert found.metadata["readouts"] == ["mvc"]


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 3])
def test_any_number_of_layers_is_read(layers: int, tmp_path: Path) -> None:
    torch.manual_seed(layers)
    config = MiniConfig(40, layers, 4, 56, 8)  # matrices too large for the exporter to fold, and small ones
    table = FinishedGenes(30, 40)
    table.table.normal_()
    made = MiniBackbone(config, [f"GENE{row}" for row in range(30)], table).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    write_artifact(made, tmp_path / "a", ExportSettings(), Origin())
    compare(read_back(open_artifact(tmp_path / "a")).backbone, made)


def test_the_bundled_artifact_is_read_back(random: np.random.Generator) -> None:
    artifact = open_artifact(bundled_artifact())
    found = read_back(artifact)
    assert found.embeddings is not None
    assert "gene_embeddings" in found.metadata
    module = Probe(found.backbone, "mvc", 0.0).module(tangent=True)
    session = GraphSession(artifact.folder / "gdt.onnx", RuntimeSettings("cpu"))
    inputs = random_inputs(len(found.backbone.symbols), (2, 3, 9, 40), random, (-4, 6))
    with torch.no_grad():
        mine = module(*(torch.from_numpy(each) for each in inputs))
    for one, other in zip(mine, session.run(*inputs), strict=True):
        assert np.abs(one.numpy() - other).max() <= 1e-4 * np.abs(other).max()


def test_a_checkpoint_that_was_read_back_offers_what_it_has(untrained: Path, tmp_path: Path) -> None:
    found = read_back(open_artifact(untrained))
    save_checkpoint(Checkpoint(found.backbone, found.aliases, found.context, found.metadata), tmp_path)
    loaded = load_backbone("mini", tmp_path)
    assert list(loaded.backbone.card.readouts) == ["mvc"]
    for name, tensor in found.backbone.state_dict().items():
        assert torch.equal(loaded.backbone.state_dict()[name], tensor)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_other_artifacts_are_refused(tmp_path: Path, backbone: MiniBackbone, untrained: Path) -> None:
    write_artifact(backbone, tmp_path / "a", ExportSettings("token"), Origin())
    with pytest.raises(InputError, match=r"is mini read at token; .* --family"):
        read_back(open_artifact(tmp_path / "a"))
    artifact = open_artifact(untrained)
    for manifest, words in (
        (replace(artifact.manifest, backbone="scgpt"), "is scgpt read at mvc"),
        (replace(artifact.manifest, provenance={"adapter": {}}), "is an adapted one"),
        (replace(artifact.manifest, shape=replace(artifact.manifest.shape, layers=3)), "cannot be read back"),
        (replace(artifact.manifest, shape=replace(artifact.manifest.shape, layers=1)), "more linear maps"),
        (replace(artifact.manifest, shape=replace(artifact.manifest.shape, feedforward=31)), "size mismatch"),
        (replace(artifact.manifest, shape=replace(artifact.manifest.shape, heads=4)), "deviates from the graph"),
    ):
        with pytest.raises(InputError, match=words):
            read_back(replace(artifact, manifest=manifest))


def test_a_graph_that_was_changed_is_not_taken(
    tmp_path: Path, new_backbone: Callable[[int], MiniBackbone], untrained: Path
) -> None:
    """What is read is proven against the graph: an operation that the backbone does not do is seen."""
    artifact = open_artifact(untrained)
    model = onnx.load(untrained / "vvp.onnx")
    (gelu, *_) = [node for node in model.graph.node if node.op_type == "Gelu"]
    gelu.op_type = "Relu"
    del gelu.attribute[:]
    onnx.save(model, tmp_path / "vvp.onnx")
    with pytest.raises(InputError, match="deviates from the graph"):
        read_back(replace(artifact, folder=tmp_path))
