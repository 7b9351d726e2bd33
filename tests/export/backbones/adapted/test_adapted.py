"""Adapted backbones of every family: untrained ones change nothing, others keep value and gradient exact."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.checkpoints import FAMILIES
from ugrn.export.adapter.train import adapter_for
from ugrn.export.backbones.adapted.backbone import OTHER_READOUT, AdaptedBackbone, predict_adapted
from ugrn.export.backbones.adapted.graph_adapter import EdgeTensors, GraphAdapter
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.bundle.artifact import ExportSettings, write_artifact
from ugrn.export.graph.parity import autograd_reference
from ugrn.export.graph.probe import Probe, random_inputs
from ugrn.export.model.adaptable import AdaptableBackbone, adaptable
from ugrn.export.model.base import Origin, VirtualCells
from ugrn.export.registry import load_backbone

every_family = pytest.mark.parametrize("family", ["mini", *FAMILIES])
Make = Callable[[str], AdaptableBackbone]


@pytest.fixture
def make(tmp_path: Path, new_backbone: Callable[[int], MiniBackbone]) -> Make:
    """Makes a small random backbone of a family."""

    def of(family: str) -> AdaptableBackbone:
        torch.manual_seed(0)
        if family == "mini":
            return new_backbone(0)
        (tmp_path / family).mkdir()
        return adaptable(load_backbone(family, FAMILIES[family](tmp_path / family)).backbone)

    return of


def adapted(
    backbone: AdaptableBackbone, readout: str, random: np.random.Generator, trained: bool = True
) -> AdaptedBackbone:
    """With an adapter of random weights, whose beta is not zero where it is said to be trained."""
    torch.manual_seed(int(random.integers(1 << 30)))
    adapter = adapter_for(backbone, 1)
    genes = len(backbone.symbols)
    ends = torch.from_numpy(random.integers(0, genes, (2, 4 * genes)))
    with torch.no_grad():
        if trained:
            adapter.beta.fill_(1.5)
            adapter.nobody.normal_()
            for name in ("query", "key", "value", "out"):
                getattr(adapter, name).weight.mul_(4.0)
        table = adapter.structures(backbone.gene_tokens(torch.arange(genes)), [EdgeTensors(ends[0], ends[1])])
    return AdaptedBackbone(backbone, adapter, table, cast(Any, readout)).eval()


def levels_of(backbone: AdaptableBackbone) -> tuple[float, float]:
    card = backbone.card
    every = (*card.vvp_levels, *card.gdt_levels, card.baseline)
    return max(min(every), card.range[0]), max(every)


@every_family
def test_an_untrained_adapter_changes_nothing(family: str, make: Make, random: np.random.Generator) -> None:
    backbone = make(family)
    for readout in backbone.card.readouts:
        whole = adapted(backbone, readout, random, trained=False)
        inputs = random_inputs(len(backbone.symbols), (2, 3, 4, 5), random, levels_of(backbone))
        tensors = [torch.from_numpy(each) for each in inputs]
        for tangent in (False, True):
            with torch.no_grad():
                expected = Probe(backbone, readout, backbone.card.baseline).module(tangent)(*tensors)
                found = Probe(whole, readout, backbone.card.baseline).module(tangent)(*tensors)
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=False)


@every_family
def test_value_and_gradient_equal_float64_autograd(family: str, make: Make, random: np.random.Generator) -> None:
    backbone = make(family)
    for readout in backbone.card.readouts:
        whole = adapted(backbone, readout, random)
        probe = Probe(whole, readout, backbone.card.baseline)
        inputs = random_inputs(len(backbone.symbols), (2, 3, 4, 5), random, levels_of(backbone))
        value, gradient = autograd_reference(probe.module(False, double=True), inputs)
        context, values, *others = (torch.from_numpy(each) for each in inputs)
        with torch.no_grad():
            sources, levels, targets = others
            found = probe.module(True, double=True)(context, values.double(), sources, levels.double(), targets)
            plain = Probe(backbone, readout, probe.baseline).module(False, double=True)
            alone = plain(context, values.double(), sources, levels.double(), targets)[0].numpy()
        np.testing.assert_allclose(found[0], value, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found[1], gradient, rtol=1e-7, atol=1e-8)
        changed = np.abs(value - alone).max() > 1e-4
        assert changed == (readout != "attn"), readout  # attention is what happens before the adapter


@every_family
def test_a_pair_does_not_depend_on_the_others(family: str, make: Make, random: np.random.Generator) -> None:
    backbone = make(family)
    readout = next(iter(backbone.card.readouts))
    module = Probe(adapted(backbone, readout, random), readout, backbone.card.baseline).module(True, double=True)
    context, values, sources, levels, targets = (
        torch.from_numpy(each)
        for each in random_inputs(len(backbone.symbols), (2, 2, 4, 5), random, levels_of(backbone))
    )
    with torch.no_grad():
        whole = module(context, values.double(), sources, levels.double(), targets)
        for s in range(2):
            for q in range(5):
                one = module(
                    context, values.double(), sources[s : s + 1], levels[s : s + 1].double(), targets[q : q + 1]
                )
                for found, expected in zip(one, whole, strict=True):
                    torch.testing.assert_close(found[0, :, 0], expected[s, :, q], rtol=1e-8, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["masked", "mvc", "token"])
def test_adapted_backbones_export(
    readout: str, tmp_path: Path, backbone: MiniBackbone, random: np.random.Generator
) -> None:
    whole = adapted(copy.deepcopy(backbone), readout, random)
    settings = ExportSettings(context=("GENE3", "GENE7"))
    manifest = write_artifact(whole, tmp_path / "a", settings, Origin())
    assert manifest.readout == readout
    assert max(v for outputs in manifest.parity["deviation"].values() for v in outputs.values()) <= 1e-4
    assert list(whole.card.readouts)[0] == readout
    for name, note in whole.card.readouts.items():
        known = backbone.card.readouts[name]
        assert note == (known if name == readout else known or OTHER_READOUT.format(readout))


def test_what_stands_behind_the_layer_is_gone_afterwards(backbone: MiniBackbone, random: np.random.Generator) -> None:
    whole = adapted(backbone, "mvc", random)
    cells = VirtualCells(torch.tensor([1, 2]), torch.zeros(2), torch.tensor([4]), torch.ones(1), torch.tensor([4]), 0.0)
    targets = torch.arange(6)
    with torch.no_grad():
        before = backbone.predict(cells, targets, "mvc")
        assert not torch.allclose(whole.predict(cells, targets, "mvc"), before)
        assert torch.equal(backbone.predict(cells, targets, "mvc"), before)

        def broken(genes: Tensor) -> Tensor:
            return torch.full((len(genes), whole.adapter.config.structure + 1), 1.0)

        with pytest.raises(RuntimeError):
            predict_adapted(backbone, whole.adapter, broken, cells, targets, "mvc")
        assert torch.equal(backbone.predict(cells, targets, "mvc"), before)


def test_the_contexts_slot_of_the_source_is_hidden(backbone: MiniBackbone, random: np.random.Generator) -> None:
    """A source that is in the context, and the same cell without its slot, are the same cell."""
    whole = adapted(backbone, "mvc", random)
    levels, targets = torch.tensor([1.5]), torch.arange(10)

    def predicted(context: list[int]) -> Tensor:
        values = torch.linspace(-1, 1, 3)[: len(context)]
        cells = VirtualCells(torch.tensor(context), values, torch.tensor([9]), levels, torch.tensor([9]), 0.0)
        with torch.no_grad():
            return whole.predict(cells, targets, "mvc")

    torch.testing.assert_close(predicted([1, 2, 9]), predicted([1, 2]), rtol=1e-5, atol=1e-5)


def test_sizes_of_an_adapter_are_the_backbones(make: Make) -> None:
    backbone = make("scfoundation")  # whose decoder is narrower than its encoder
    config = adapter_for(backbone, 3).config
    assert (config.width, config.inputs, config.networks) == (8, 12, 3)
    assert isinstance(adapter_for(backbone, 1), GraphAdapter)
    assert isinstance(backbone.last_layer, nn.Module)
