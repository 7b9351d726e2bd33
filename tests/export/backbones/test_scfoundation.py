"""scFoundation checkpoints against a whole-genome pass written out token by token, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.checkpoints import scfoundation
from tests.helpers.layers import (
    State,
    cell,
    check,
    lin,
    ln,
    load_stock,
    performer,
    remembered,
    tame,
)
from ugrn.export.model.base import with_levels
from ugrn.export.registry import load_backbone
from ugrn.runtime.errors import InputError


def test_equals_the_reference(tmp_path: Path) -> None:
    torch.manual_seed(1)
    compare(tmp_path, scfoundation.make())
    compare(tmp_path, scfoundation.make(), seed=1, silent=True)


WIDE = {"BINS": 100, "WIDTH": 768, "DECODED": 512, "HEADS": 12, "DECODED_HEADS": 8, "HEAD": 64, "FEATURES": 266}
WHOLE = {"GENES": 19_264, "LAYERS": 12, "DECODED_LAYERS": 6}


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes", [{"GENES": 5000}, pytest.param(WHOLE, marks=pytest.mark.published)], ids=["wide", "whole"]
)
def test_published_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]) -> None:
    """Published widths; more layers and genes of the same kind, minutes of them, in `make published`."""
    for name, size in (WIDE | sizes).items():
        monkeypatch.setattr(scfoundation, name, size)
    torch.manual_seed(0)
    state = scfoundation.make()
    tame(state)
    compare(tmp_path, state, shape=(1, 1, 3, 2), central=True)


def compare(tmp_path: Path, state: State, **settings: Any) -> None:
    loaded = load_backbone("scfoundation", scfoundation.write(tmp_path, state), ["target-depth=3.5"])
    s = {key: value.double() for key, value in state.items()}
    layers = [
        load_stock(s, f"encoder.transformer_encoder.{index}.", scfoundation.HEADS)
        for index in range(scfoundation.LAYERS)
    ]

    def embed(value: Tensor) -> Tensor:
        hidden = F.leaky_relu(lin(s, value[None], "token_emb.mlp"), 0.1)
        weight = F.softmax(0.7 * hidden + lin(s, hidden, "token_emb.mlp2"), 0)
        return (weight[:, None] * s["token_emb.emb.weight"]).sum(0)

    def whole_genome(context: list[int], values: list[float], source: int, level: Tensor) -> Tensor:
        vector = [torch.zeros((), dtype=torch.float64) for _ in range(scfoundation.GENES)]
        for gene, value in cell(context, values, source, level).items():
            vector[gene] = value
        vector += [torch.tensor(3.5, dtype=torch.float64), torch.tensor(4.0, dtype=torch.float64)]
        shown = [place for place, value in enumerate(vector) if value > 0]
        x = torch.stack([embed(vector[place]) + s["pos_emb.weight"][place] for place in shown])
        for layer in layers:
            x = layer(x[None])[0]
        x = ln(s, x, "encoder.norm")
        silent = embed(torch.zeros((), dtype=torch.float64))
        whole = [x[shown.index(p)] if p in shown else silent for p in range(scfoundation.GENES + 2)]
        y = lin(s, torch.stack(whole) + s["pos_emb.weight"][: scfoundation.GENES + 2], "decoder_embed")
        for index in range(scfoundation.DECODED_LAYERS):
            y, _ = performer(s, f"decoder.performer.net.layers.{index}.", y, scfoundation.DECODED_HEADS)
        return lin(s, ln(s, ln(s, y, "decoder.norm"), "norm"), "to_final")[:, 0]

    check(loaded.backbone, "token", remembered(whole_genome), (0.2, 4.0), baseline=1.0, **settings)
    unused = loaded.origin.provenance["checkpoint"]["unused"]
    assert {"token_emb.emb_mask.weight", "token_emb.emb_pad.weight"} <= set(unused)


def test_zero_is_no_level_and_the_licence_is_said(tmp_path: Path) -> None:
    card = load_backbone("scfoundation", scfoundation.write(tmp_path, scfoundation.make())).backbone.card
    assert "non-commercial" in card.notice
    assert card.gradient == "exact"
    with pytest.raises(InputError, match="discontinuity"):
        with_levels(card, vvp_levels=(0.0, 1.0))


def test_gene_list_counts_by_its_index(tmp_path: Path) -> None:
    scfoundation.write(tmp_path, scfoundation.make())
    path = tmp_path / "OS_scRNA_gene_index.19264.tsv"
    path.write_text(
        "gene_name\tindex\n" + "".join(f"GENE{row}\t{row}\n" for row in reversed(range(scfoundation.GENES)))
    )
    assert load_backbone("scfoundation", tmp_path).backbone.symbols[:2] == ["GENE0", "GENE1"]
    path.write_text("gene_name\tindex\n" + "".join(f"GENE{row}\t{row + 1}\n" for row in range(scfoundation.GENES)))
    with pytest.raises(InputError, match="indices from 0"):
        load_backbone("scfoundation", tmp_path)


def test_another_part_is_named(tmp_path: Path) -> None:
    scfoundation.write(tmp_path, scfoundation.make(), "cell")
    with pytest.raises(InputError, match="no model 'gene'.*found \\['cell'\\]"):
        load_backbone("scfoundation", tmp_path)
    assert load_backbone("scfoundation", tmp_path, ["part=cell"]).backbone.symbols[0] == "GENE0"
