"""Random Geneformer checkpoints; sizes are the module's own, so that a test can set them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import torch

from tests.helpers.layers import State, linear, norm

WIDTH, HEADS, FEED, LAYERS, GENES, PLACES = 12, 3, 20, 2, 16, 32
SPECIAL = {"V1": ["<pad>", "<mask>"], "V2": ["<pad>", "<mask>", "<cls>", "<eos>"]}


def tokens_of(version: str) -> dict[str, int]:
    names = [*SPECIAL[version], *(f"ENSG{row:011d}" for row in range(GENES))]
    return {name: row for row, name in enumerate(names)}


def make(version: str) -> State:
    count = len(tokens_of(version))
    state: State = {}
    at = "bert.embeddings."
    state[f"{at}word_embeddings.weight"] = torch.randn(count, WIDTH)
    state[f"{at}position_embeddings.weight"] = torch.randn(PLACES, WIDTH)
    state[f"{at}token_type_embeddings.weight"] = torch.randn(2, WIDTH)
    norm(state, f"{at}LayerNorm", WIDTH)
    for index in range(LAYERS):
        at = f"bert.encoder.layer.{index}."
        for name in ("query", "key", "value"):
            linear(state, f"{at}attention.self.{name}", WIDTH, WIDTH)
        linear(state, f"{at}attention.output.dense", WIDTH, WIDTH)
        norm(state, f"{at}attention.output.LayerNorm", WIDTH)
        linear(state, f"{at}intermediate.dense", FEED, WIDTH)
        linear(state, f"{at}output.dense", WIDTH, FEED)
        norm(state, f"{at}output.LayerNorm", WIDTH)
    linear(state, "cls.predictions.transform.dense", WIDTH, WIDTH)
    norm(state, "cls.predictions.transform.LayerNorm", WIDTH)
    state["cls.predictions.bias"] = torch.randn(count)
    if version == "V1":
        state["bert.embeddings.position_ids"] = torch.arange(PLACES)[None]
        state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"].clone()
        state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"].clone()
    return state


def write(folder: Path, state: State, version: str, pickled: bool = False) -> tuple[Path, dict[str, float]]:
    config = {
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "intermediate_size": FEED,
        "num_hidden_layers": LAYERS,
        "max_position_embeddings": PLACES,
        "hidden_act": "relu",
        "layer_norm_eps": 1e-12,
    }
    (folder / "config.json").write_text(json.dumps(config))
    tokens = tokens_of(version)
    medians = {name: 0.3 + 0.37 * ((7 * row) % 11) for name, row in tokens.items() if name not in SPECIAL[version]}
    names = {f"SYM{row}": f"ENSG{row:011d}" for row in range(GENES)} | {"OTHER": "ENSG99999999999"}
    for stem, content in (
        ("token_dictionary", tokens),
        ("gene_median_dictionary", medians),
        ("gene_name_id_dict", names),
    ):
        if pickled:
            numbers = {key: np.float64(value) if isinstance(value, float) else value for key, value in content.items()}
            (folder / f"{stem}.pkl").write_bytes(pickle.dumps(numbers))
        else:
            (folder / f"{stem}.json").write_text(json.dumps(content))
    if version == "V1":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        from safetensors.torch import save_file

        save_file(state, folder / "model.safetensors")
    return folder, medians
