"""Random scFoundation checkpoints; sizes are the module's own, so that a test can set them."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.helpers.layers import (
    State,
    linear,
    norm,
    performer_layer,
    stock_layer,
)

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
