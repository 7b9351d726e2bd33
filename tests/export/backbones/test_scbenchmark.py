"""scBenchmark checkpoints against torch's own encoder in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.checkpoints import scbenchmark
from tests.helpers.layers import State, cell, check, load_stock, tame
from ugrn.export.registry import load_backbone
from ugrn.runtime.errors import InputError


@pytest.mark.parametrize("width", [16, 256])
@pytest.mark.parametrize("readout", ["masked", "mvc", "token"])
def test_equals_the_reference(tmp_path: Path, width: int, readout: str) -> None:
    torch.manual_seed(width)
    compare(tmp_path, scbenchmark.make(width), width, readout)


@pytest.mark.slow
def test_published_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("GENES", 60_694), ("HEADS", 8), ("LAYERS", 6)):
        monkeypatch.setattr(scbenchmark, name, size)
    torch.manual_seed(0)
    state = scbenchmark.make(256)
    tame(state)
    assert sum(tensor.numel() for tensor in state.values()) == 18_309_121
    compare(tmp_path, state, 256, "masked")


def compare(tmp_path: Path, state: State, width: int, readout: str) -> None:
    loaded = load_backbone("scbenchmark", scbenchmark.write(tmp_path, state, width), ["cls-value=0.5"])
    s = {key: value.double() for key, value in state.items()}
    layers = [load_stock(s, f"encoder.layers.{index}.", scbenchmark.HEADS) for index in range(scbenchmark.LAYERS)]

    def gene(row: int) -> Tensor:
        table = s["embedding.weight"][row]
        return table if width == 256 else F.linear(table, s["emb_trans.weight"], s["emb_trans.bias"])

    def token(row: int, value: Tensor) -> Tensor:
        hidden = F.relu(F.linear(value.clamp(max=512)[None], s["value_encoder.0.weight"], s["value_encoder.0.bias"]))
        return gene(row) + F.linear(hidden, s["value_encoder.2.weight"], s["value_encoder.2.bias"])

    def mlp(x: Tensor, name: str) -> Tensor:
        for index in (0, 2, 4):
            x = F.linear(x, s[f"{name}.{index}.weight"], s[f"{name}.{index}.bias"])
            x = x if index == 4 else F.leaky_relu(x, 0.01)
        return x

    def reference(context: list[int], values: list[float], source: int, level: Tensor, target: int) -> Tensor:
        carried = cell(context, values, source, level)
        rows = list(carried)
        start = token(scbenchmark.GENES + 1, torch.tensor(0.5, dtype=torch.float64))
        x = torch.stack([start, *(token(row, carried[row]) for row in rows)])
        if readout == "mvc":
            for layer in layers:
                x = layer(x[None])[0]
            return mlp(gene(target), "gene2query") @ x[0]
        value = torch.tensor(-1.0, dtype=torch.float64) if readout == "masked" else carried.get(target)
        asked = token(target, torch.tensor(1.1, dtype=torch.float64) if value is None else value)
        hide = torch.zeros(len(x) + 1, len(x) + 1, dtype=torch.bool)
        hide[:-1, -1] = True
        if target in rows:
            hide[-1, 1 + rows.index(target)] = True
        x = torch.cat([x, asked[None]])
        for layer in layers:
            x = layer(x[None], src_mask=hide)[0]
        return mlp(x[-1], "decoder")[0]

    check(loaded.backbone, readout, reference, (0.7, 4.0), baseline=1.1)
    assert set(loaded.origin.provenance["checkpoint"]["unused"]) == {"layer_norm.weight", "layer_norm.bias"}


def test_other_variants_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="transformer variant"):
        load_backbone("scbenchmark", scbenchmark.write(tmp_path, scbenchmark.make(16), 16, model_structure="mamba"))
