"""Random scBERT checkpoints; sizes are the module's own, so that a test can set them."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.helpers.layers import State, linear, norm, performer_layer

GENES, WIDTH, HEADS, HEAD, FEATURES, LAYERS = 11, 6, 10, 4, 9, 2


def make() -> State:
    state: State = {"token_emb.weight": torch.randn(7, WIDTH), "performer.calls_since_last_redraw": torch.tensor(0)}
    state["pos_emb.emb.weight"] = torch.randn(GENES + 1, WIDTH, dtype=torch.float64)
    for index in range(LAYERS):
        performer_layer(state, f"performer.net.layers.{index}.", WIDTH, HEADS * HEAD, FEATURES, HEAD, bias=False)
    norm(state, "norm", WIDTH)
    linear(state, "to_out", 7, WIDTH, scale=1.0)
    return state


def write(folder: Path, state: State, order: bool = True) -> Path:
    torch.save({"epoch": 1, "model_state_dict": state, "losses": 0.5}, folder / "panglao_pretrained.pth")
    if order:
        (folder / "genes.txt").write_text("".join(f"GENE{row}\n" for row in range(GENES)))
    return folder
