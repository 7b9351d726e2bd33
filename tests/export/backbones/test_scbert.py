"""scBERT checkpoints against a whole-genome pass written out token by token, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.checkpoints import scbert
from tests.helpers.layers import State, cell, check, lin, ln, performer, remembered, tame
from ugrn.export.registry import load_backbone
from ugrn.runtime.errors import InputError


@pytest.mark.parametrize("readout", ["masked", "token"])
@pytest.mark.parametrize("expressed_only", [False, True])
def test_equals_the_reference(tmp_path: Path, readout: str, expressed_only: bool) -> None:
    torch.manual_seed(4)
    compare(tmp_path, scbert.make(), readout, expressed_only)


WIDE = {"WIDTH": 200, "HEAD": 64, "FEATURES": 266}
WHOLE = {"GENES": 16_906, "LAYERS": 6}


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes", [{"GENES": 5000}, pytest.param(WHOLE, marks=pytest.mark.published)], ids=["wide", "whole"]
)
def test_published_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]) -> None:
    """Published widths; more layers and genes of the same kind, minutes of them, in `make published`."""
    for name, size in (WIDE | sizes).items():
        monkeypatch.setattr(scbert, name, size)
    torch.manual_seed(0)
    state = scbert.make()
    tame(state)
    compare(tmp_path, state, "token", False, shape=(1, 1, 3, 2), central=True)


def compare(tmp_path: Path, state: State, readout: str, expressed_only: bool, **settings: Any) -> None:
    loaded = load_backbone("scbert", scbert.write(tmp_path, state), [f"expressed-only={expressed_only}"])
    s = {key: value.double() for key, value in state.items()}
    low = int(expressed_only)

    def embed(value: Tensor) -> Tensor:
        tents = torch.stack([(1 - (value - k).abs()).clamp(min=0) for k in range(6)])
        return tents @ s["token_emb.weight"][:6]

    def expected_bin(out: Tensor) -> Tensor:
        logits = lin(s, ln(s, out, "norm"), "to_out")[..., low:6]
        return (F.softmax(logits, -1) * torch.arange(low, 6)).sum(-1)

    def tokens(context: list[int], values: list[float], source: int, level: Tensor) -> Tensor:
        known = cell(context, values, source, level)
        silent = s["token_emb.weight"][0]
        vectors = [embed(known[place]) if place in known else silent for place in range(scbert.GENES + 1)]
        return torch.stack(vectors) + s["pos_emb.emb.weight"]

    def shown(context: list[int], values: list[float], source: int, level: Tensor) -> Tensor:
        x = tokens(context, values, source, level)
        for index in range(scbert.LAYERS):
            x, _ = performer(s, f"performer.net.layers.{index}.", x, scbert.HEADS)
        return expected_bin(x)

    def masked(context: list[int], values: list[float], source: int, level: Tensor, target: int) -> Tensor:
        x = tokens(context, values, source, level)
        asked = s["token_emb.weight"][6] + s["pos_emb.emb.weight"][target]
        for index in range(scbert.LAYERS):
            x, asked = performer(s, f"performer.net.layers.{index}.", x, scbert.HEADS, asked, target)
        return expected_bin(asked)

    reference = masked if readout == "masked" else remembered(shown)
    check(loaded.backbone, readout, reference, (0.2, 4.9), baseline=1.0, **settings)
    assert loaded.backbone.card.gradient == "surrogate"
    assert "GPL" in loaded.backbone.card.notice


def test_gene_order_and_gene_vectors_are_asked_for(tmp_path: Path) -> None:
    state = scbert.make()
    with pytest.raises(InputError, match="order is that of the variables"):
        load_backbone("scbert", scbert.write(tmp_path, state, order=False))
    with h5py.File(tmp_path / "panglao_10000.h5ad", "w") as file:
        group = file.create_group("var")
        group.attrs["_index"] = "names"
        group["names"] = [f"GENE{row}" for row in range(scbert.GENES)]
    whole = load_backbone("scbert", tmp_path).backbone
    assert whole.symbols[3] == "GENE3"
    vectors = state.pop("pos_emb.emb.weight").numpy()
    scbert.write(tmp_path, state, order=False)
    with pytest.raises(InputError, match="gene2vec_16906.npy on request"):
        load_backbone("scbert", tmp_path)
    np.save(tmp_path / "gene2vec_16906.npy", vectors[:5])
    with pytest.raises(InputError, match=r"shape \(5, 6\), expected \(11, 6\)"):
        load_backbone("scbert", tmp_path)
    np.save(tmp_path / "gene2vec_16906.npy", vectors[:-1])
    parts = load_backbone("scbert", tmp_path).backbone
    torch.testing.assert_close(parts.pos_emb.weight[:-1], whole.pos_emb.weight[:-1])  # type: ignore[attr-defined]


def test_rows_do_not_depend_on_each_other(tmp_path: Path) -> None:
    """Upstream's stabiliser is one maximum over the batch; ours is of the row."""
    from ugrn.export.graph.probe import ProbeGraph

    torch.manual_seed(5)
    module = ProbeGraph(load_backbone("scbert", scbert.write(tmp_path, scbert.make())).backbone, "masked", 1.0, True)
    context, values = torch.tensor([1, 2]), torch.tensor([1.0, 1.0])
    levels, targets = torch.tensor([[0.3, 4.0], [1.2, 2.0]]), torch.tensor([2, 7, 9])
    with torch.no_grad():
        both = module(context, values, torch.tensor([3, 8]), levels, targets)
        alone = module(context, values, torch.tensor([8]), levels[1:], targets)
    for whole, part in zip(both, alone, strict=True):
        torch.testing.assert_close(whole[1:], part, rtol=1e-5, atol=1e-7)
