"""Random scBenchmark checkpoints; sizes are the module's own, so that a test can set them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tests.helpers.layers import State, linear, norm, stock_layer

GENES, HEADS, LAYERS = 20, 2, 2


def make(width: int) -> State:
    state: State = {"embedding.weight": torch.randn(GENES + 3, 256) * 0.5}
    norm(state, "layer_norm", width)
    linear(state, "value_encoder.0", width, 1)
    linear(state, "value_encoder.2", width, width)
    for index in range(LAYERS):
        stock_layer(state, f"encoder.layers.{index}.", width, width)
    for head, out in (("decoder", 1), ("gene2query", width)):
        for index in (0, 2, 4):
            linear(state, f"{head}.{index}", out if index == 4 else width, width, scale=1.5 / width**0.5)
    if width != 256:
        linear(state, "emb_trans", width, 256, scale=0.06)
    return state


def write(folder: Path, state: State, width: int, **args: object) -> Path:
    vocabulary = {f"GENE{row}": row for row in range(GENES)} | {"<pad>": GENES, "<cls>": GENES + 1, "<eoc>": GENES + 2}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    metadata = {"embsize": width, "nheads": HEADS, "nlayers": LAYERS, "cls_value": 0, "model_structure": "transformer"}
    (folder / "args.json").write_text(json.dumps(metadata | args))
    torch.save({f"module.{key}": value for key, value in state.items()}, folder / "best_model.pt")
    return folder
