"""Random scGPT checkpoints in the genuine formats; sizes are the module's own, so that a test can set them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tests.helpers.layers import State, linear, norm

WIDTH, HEADS, FEED, LAYERS, GENES = 16, 2, 24, 2, 30


def batch_norm(state: State, name: str, affine: bool = True) -> None:
    if affine:
        norm(state, name, WIDTH)
    state[f"{name}.running_mean"] = torch.randn(WIDTH)
    state[f"{name}.running_var"] = torch.rand(WIDTH) + 0.5
    state[f"{name}.num_batches_tracked"] = torch.tensor(7)


def mlp(state: State, name: str, width_in: int = 0) -> None:
    width_in = width_in or WIDTH
    for index, (out, width) in zip((0, 2, 4), ((WIDTH, width_in), (WIDTH, WIDTH), (1, WIDTH)), strict=True):
        linear(state, f"{name}.{index}", out, width)


def make_state(kind: str, layout: str = "self_attn.Wqkv.") -> State:
    """A random state dict with the key names of a released or fine-tuned checkpoint."""
    state: State = {"encoder.embedding.weight": torch.randn(GENES + 3, WIDTH)}
    norm(state, "encoder.enc_norm", WIDTH)
    linear(state, "value_encoder.linear1", WIDTH, 1)
    linear(state, "value_encoder.linear2", WIDTH, WIDTH)
    norm(state, "value_encoder.norm", WIDTH)
    for index in range(LAYERS):
        at = f"transformer_encoder.layers.{index}."
        joined = f"{at}{layout}"
        state[f"{joined}weight"] = torch.randn(3 * WIDTH, WIDTH) * 0.4
        state[f"{joined}bias"] = torch.randn(3 * WIDTH) * 0.2
        impl = "_impl." if "_impl" in layout else ""
        linear(state, f"{at}self_attn.{impl}out_proj", WIDTH, WIDTH)
        linear(state, f"{at}linear1", FEED, WIDTH)
        linear(state, f"{at}linear2", WIDTH, FEED)
        norm(state, f"{at}norm1", WIDTH)
        norm(state, f"{at}norm2", WIDTH)
    labels = kind in ("dsbn", "dsbn_plain")
    if kind == "perturbation":
        state["pert_encoder.weight"] = torch.randn(3, WIDTH)
        mlp(state, "decoder.coeff_decoder.fc")
        mlp(state, "decoder.bias_decoder.fc")
        linear(state, "cls_decoder.out_layer", 1, WIDTH)
        return state
    if kind == "human":
        state["flag_encoder.weight"] = torch.randn(2, WIDTH)
    if kind == "blood":
        batch_norm(state, "bn")
        linear(state, "cls_decoder._decoder.0", WIDTH, WIDTH)
        norm(state, "cls_decoder._decoder.2", WIDTH)
    decoded = 2 * WIDTH if labels else WIDTH
    mlp(state, "decoder.fc", decoded)
    if labels:
        for domain in range(3):
            batch_norm(state, f"dsbn.bns.{domain}", affine=kind == "dsbn")
        state["batch_encoder.embedding.weight"] = torch.randn(3, WIDTH)
        norm(state, "batch_encoder.enc_norm", WIDTH)
        mlp(state, "decoder.zero_logit", decoded)
        linear(state, "mvc_decoder.W_zero_logit", decoded, WIDTH)
        linear(state, "grad_reverse_discriminator.out_layer", 3, WIDTH)
    query = 64 if kind == "concat" else WIDTH
    linear(state, "mvc_decoder.gene2query", query, WIDTH)
    if kind in ("concat", "sum"):
        linear(state, "mvc_decoder.fc1", 64, WIDTH + 64 if kind == "concat" else WIDTH)
        state["mvc_decoder.hidden_activation.weight"] = torch.tensor([0.3])
        linear(state, "mvc_decoder.fc2", 1, 64)
    else:
        linear(state, "mvc_decoder.W", decoded, WIDTH, bias=False)
    return state


ARGS = {"embsize": WIDTH, "nheads": HEADS, "d_hid": FEED, "nlayers": LAYERS, "n_layers_cls": 3, "dropout": 0.2,
        "pad_token": "<pad>", "pad_value": -2, "mask_value": -1, "input_emb_style": "continuous"}  # fmt: skip


def write(folder: Path, state: Mapping[str, Any], args: Mapping[str, Any] = ARGS, specials: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    vocabulary = {f"GENE{row}": row for row in range(GENES)}
    if specials:  # the released file leaves them to be appended
        vocabulary |= {token: GENES + place for place, token in enumerate(("<pad>", "<cls>", "<eoc>"))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "args.json").write_text(json.dumps(dict(args)))
    torch.save(dict(state), folder / "best_model.pt")
    return folder
