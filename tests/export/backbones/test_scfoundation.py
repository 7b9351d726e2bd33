"""scFoundation checkpoints against a whole-genome pass written out token by token, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from made import (
    State,
    cell,
    check,
    lin,
    linear,
    ln,
    load_stock,
    norm,
    performer,
    performer_layer,
    remembered,
    stock_layer,
    tame,
)
from torch import Tensor

from ugrn.export.model.base import with_levels
from ugrn.export.registry import load_backbone
from ugrn.runtime.errors import InputError

GENES, BINS, WIDTH, HEADS, LAYERS = 14, 7, 12, 3, 2
DECODED, DECODED_HEADS, DECODED_LAYERS, HEAD, FEATURES = 8, 2, 2, 4, 9


def make() -> State:
    state: State = {}
    linear(state, "token_emb.mlp", BINS, 1)
    linear(state, "token_emb.mlp2", BINS, BINS)
    for name, rows in (("emb", BINS), ("emb_mask", 1), ("emb_pad", 1)):
        state[f"token_emb.{name}.weight"] = torch.randn(rows, WIDTH)
    state["pos_emb.weight"] = torch.randn(GENES + 3, WIDTH)
    for index in range(LAYERS):
        stock_layer(state, f"encoder.transformer_encoder.{index}.", WIDTH, 4 * WIDTH)
    for index in range(DECODED_LAYERS):
        at = f"decoder.performer.net.layers.{index}."
        performer_layer(state, at, DECODED, DECODED_HEADS * HEAD, FEATURES, HEAD, bias=True)
    state["decoder.performer.calls_since_last_redraw"] = torch.tensor(3)
    norm(state, "encoder.norm", WIDTH)
    norm(state, "decoder.norm", DECODED)
    norm(state, "norm", DECODED)
    linear(state, "decoder_embed", DECODED, WIDTH)
    linear(state, "to_final", 1, DECODED)
    return state


def write(folder: Path, state: State, part: str = "gene") -> Path:
    config = {
        "model": "mae_autobin",
        "model_config": {
            "mae_autobin": {
                "bin_num": BINS,
                "bin_alpha": 0.7,
                "encoder": {"module_type": "transformer", "hidden_dim": WIDTH, "depth": LAYERS, "heads": HEADS},
                "decoder": {
                    "module_type": "performer",
                    "hidden_dim": DECODED,
                    "depth": DECODED_LAYERS,
                    "heads": DECODED_HEADS,
                    "dim_head": HEAD,
                },
            }
        },
        "dataset_config": {"rnaseq": {"seq_len": GENES + 2, "pad_token_id": 103, "mask_token_id": 102}},
    }
    named = {f"model.{key}": value for key, value in state.items()}
    torch.save({part: {"config": config, "state_dict": named}}, folder / "models.ckpt")
    rows = "".join(f"GENE{row}\t{row}\n" for row in range(GENES))
    (folder / "OS_scRNA_gene_index.19264.tsv").write_text("gene_name\tindex\n" + rows)
    return folder


def test_equals_the_reference(tmp_path: Path) -> None:
    torch.manual_seed(1)
    compare(tmp_path, make())
    compare(tmp_path, make(), seed=1, silent=True)


@pytest.mark.slow
def test_published_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"GENES": 19_264, "BINS": 100, "WIDTH": 768, "DECODED": 512, "HEADS": 12, "DECODED_HEADS": 8, "HEAD": 64}
    for name, size in (sizes | {"FEATURES": 266, "LAYERS": 12, "DECODED_LAYERS": 6}).items():
        monkeypatch.setitem(globals(), name, size)
    torch.manual_seed(0)
    state = make()
    tame(state)
    compare(tmp_path, state, shape=(1, 1, 3, 2), central=True)


def compare(tmp_path: Path, state: State, **settings: Any) -> None:
    loaded = load_backbone("scfoundation", write(tmp_path, state), ["target-depth=3.5"])
    s = {key: value.double() for key, value in state.items()}
    layers = [load_stock(s, f"encoder.transformer_encoder.{index}.", HEADS) for index in range(LAYERS)]

    def embed(value: Tensor) -> Tensor:
        hidden = F.leaky_relu(lin(s, value[None], "token_emb.mlp"), 0.1)
        weight = F.softmax(0.7 * hidden + lin(s, hidden, "token_emb.mlp2"), 0)
        return (weight[:, None] * s["token_emb.emb.weight"]).sum(0)

    def whole_genome(context: list[int], values: list[float], source: int, level: Tensor) -> Tensor:
        vector = [torch.zeros((), dtype=torch.float64) for _ in range(GENES)]
        for gene, value in cell(context, values, source, level).items():
            vector[gene] = value
        vector += [torch.tensor(3.5, dtype=torch.float64), torch.tensor(4.0, dtype=torch.float64)]
        shown = [place for place, value in enumerate(vector) if value > 0]
        x = torch.stack([embed(vector[place]) + s["pos_emb.weight"][place] for place in shown])
        for layer in layers:
            x = layer(x[None])[0]
        x = ln(s, x, "encoder.norm")
        silent = embed(torch.zeros((), dtype=torch.float64))
        whole = [x[shown.index(p)] if p in shown else silent for p in range(GENES + 2)]
        y = lin(s, torch.stack(whole) + s["pos_emb.weight"][: GENES + 2], "decoder_embed")
        for index in range(DECODED_LAYERS):
            y, _ = performer(s, f"decoder.performer.net.layers.{index}.", y, DECODED_HEADS)
        return lin(s, ln(s, ln(s, y, "decoder.norm"), "norm"), "to_final")[:, 0]

    check(loaded.backbone, "token", remembered(whole_genome), (0.2, 4.0), baseline=1.0, **settings)
    unused = loaded.origin.provenance["checkpoint"]["unused"]
    assert {"token_emb.emb_mask.weight", "token_emb.emb_pad.weight"} <= set(unused)


def test_zero_is_no_level_and_the_licence_is_said(tmp_path: Path) -> None:
    card = load_backbone("scfoundation", write(tmp_path, make())).backbone.card
    assert "non-commercial" in card.notice
    assert card.gradient == "exact"
    with pytest.raises(InputError, match="discontinuity"):
        with_levels(card, vvp_levels=(0.0, 1.0))


def test_gene_list_counts_by_its_index(tmp_path: Path) -> None:
    write(tmp_path, make())
    path = tmp_path / "OS_scRNA_gene_index.19264.tsv"
    path.write_text("gene_name\tindex\n" + "".join(f"GENE{row}\t{row}\n" for row in reversed(range(GENES))))
    assert load_backbone("scfoundation", tmp_path).backbone.symbols[:2] == ["GENE0", "GENE1"]
    path.write_text("gene_name\tindex\n" + "".join(f"GENE{row}\t{row + 1}\n" for row in range(GENES)))
    with pytest.raises(InputError, match="indices from 0"):
        load_backbone("scfoundation", tmp_path)


def test_another_part_is_named(tmp_path: Path) -> None:
    write(tmp_path, make(), "cell")
    with pytest.raises(InputError, match="no model 'gene'.*found \\['cell'\\]"):
        load_backbone("scfoundation", tmp_path)
    assert load_backbone("scfoundation", tmp_path, ["part=cell"]).backbone.symbols[0] == "GENE0"
