"""Checkpoint folders of scGPT: read, and filled into the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ugrn.runtime.errors import InputError

from ...model.base import Loaded, Origin
from ...model.checkpoint_files import find_file, read_json, read_state, read_vocabulary_ids
from ...model.family import Family
from ...model.layers import stock_names
from ...model.weights import Weights, checkpoint_metadata
from .model import CellDecoder, ScGPT
from .parts import Parts, ScGPTOptions, card_of, cls_value, parts_of

SPECIAL = ("<pad>", "<cls>", "<eoc>")
NORM_EPS = 6.1e-5  # of the batch norms
QKV = ("self_attn.Wqkv.{}", "self_attn._impl.Wqkv.{}", "self_attn.in_proj_{}")
UNUSED = {
    "cls_decoder.*": "cell-type classifier",
    "grad_reverse_discriminator.*": "batch discriminator of training",
    "*.num_batches_tracked": "counter of training",
}


def load(folder: Path, options: ScGPTOptions) -> Loaded:
    """Read a checkpoint folder; raises as `Family.load`."""
    args_path = find_file(folder, ["args.json"])
    args = read_json(args_path)
    vocabulary_path = find_file(folder, ["vocab.json", "default_census_vocab.json"])
    vocabulary = read_vocabulary_ids(vocabulary_path, SPECIAL)
    path = find_file(folder, ["best_model.pt", "best_model.safetensors", "model.safetensors"])
    weights = Weights(strip_module(read_state(path)), path, "scGPT")
    parts = parts_of(weights, args, args_path, options)
    rows = [row for row, token in enumerate(vocabulary) if token not in SPECIAL]
    cls = cls_value(options, args, parts, args_path)
    _check_sizes(weights, parts, len(vocabulary))
    model = ScGPT(parts, [vocabulary[row] for row in rows], card_of(parts))
    _fill(model, weights, parts)
    _embed(model, weights, vocabulary, rows, cls)
    _perturbation(model, weights, options, parts.affine)
    _batch(model, weights, options)
    for pattern, reason in UNUSED.items():
        weights.ignore(pattern, reason)
    metadata = checkpoint_metadata(
        "scgpt",
        asdict(options) | {"cls_value": cls},
        (args_path, vocabulary_path, path),
        weights,
        regime="perturbation" if parts.affine else "generative" if parts.generative else "masked",
    )
    return Loaded(model.eval(), Origin(provenance=metadata), embeddings=model.genes.numpy())


def strip_module(state: Mapping[str, Any]) -> dict[str, Any]:
    """Names without the ``module.`` that distributed training puts before all of them."""
    if all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def _check_sizes(weights: Weights, parts: Parts, tokens: int) -> None:
    """Refuse sizes that are not those of the weights before a model is made of them: it could be of any size."""
    first, last = (f"transformer_encoder.layers.{layer}." for layer in (0, parts.layers - 1))
    wide, vector = (parts.feedforward, parts.width), (parts.width,)
    weights.check({"encoder.embedding.weight": (tokens, parts.width)})
    weights.check({f"{first}linear1.weight": wide, f"{last}norm2.bias": vector})


def _fill(model: ScGPT, weights: Weights, parts: Parts) -> None:
    """Layers, value encoder and decoders."""
    weights.fill(model, {"value_encoder": "value_encoder"})
    for index, layer in enumerate(model.stack):
        prefix = f"transformer_encoder.layers.{index}."
        layouts = [name for name in QKV if prefix + name.format("weight") in weights]
        qkv = prefix + (layouts[0] if layouts else QKV[0])
        out = "self_attn._impl.out_proj" if layouts and "_impl" in layouts[0] else "self_attn.out_proj"
        own = {"qkv.weight": qkv.format("weight"), "qkv.bias": qkv.format("bias"), "out": prefix + out}
        weights.fill(layer, stock_names(prefix) | own)
    value = "decoder.bias_decoder" if parts.affine else "decoder"
    zero = "decoder.coeff_decoder" if parts.affine else "decoder"
    names = {"decoder": f"{value}.fc"}
    if parts.affine:
        names["coefficient"] = "decoder.coeff_decoder.fc"
    if parts.zero:
        names["zero"] = f"{zero}.zero_logit"
    weights.fill(model, names)
    if model.cell_decoder is not None:
        _fill_cell_decoder(model.cell_decoder, weights)
    if parts.affine:
        weights.ignore("decoder.bias_decoder.zero_logit.*", "zero logits of the offset, which upstream does not read")
    if not parts.zero:
        weights.ignore("*zero_logit.*", "zero logits, left out unless zero-probability is set")


def _fill_cell_decoder(head: CellDecoder, weights: Weights) -> None:
    names = {"gene2query": "mvc_decoder.gene2query"}
    if head.style == "inner":
        names["W"] = "mvc_decoder.W"
    else:
        names |= {"fc1": "mvc_decoder.fc1", "fc2": "mvc_decoder.fc2", "slope": "mvc_decoder.hidden_activation.weight"}
    if head.zero is not None:
        names["zero"] = "mvc_decoder.W_zero_logit"
    weights.fill(head, names)


def _embed(model: ScGPT, weights: Weights, vocabulary: list[str], rows: list[int], cls_value: float) -> None:
    """Normalised gene vectors, ``<cls>`` with its value, and the flag of generated tokens."""
    width = model.shape.width
    table = weights.take("encoder.embedding.weight", (len(vocabulary), width))
    gain, offset = (weights.take(f"encoder.enc_norm.{name}", (width,)) for name in ("weight", "bias"))
    with torch.no_grad():
        vectors = nn.functional.layer_norm(table, (width,), gain, offset)
        model.genes.copy_(vectors[rows])
        model.cls.copy_(vectors[vocabulary.index("<cls>")] + model.value_encoder(torch.tensor(cls_value)))
        if weights.has("flag_encoder."):
            model.flag.copy_(weights.take("flag_encoder.weight", (2, width))[1])


def _perturbation(model: ScGPT, weights: Weights, options: ScGPTOptions, affine: bool) -> None:
    if not affine:
        if options.perturbed:
            message = f"{weights.path}: 'perturbed' was set, but the checkpoint is no perturbation fine-tune"
            raise InputError(message)
        return
    flags = weights.take("pert_encoder.weight", (3, model.shape.width))
    with torch.no_grad():
        model.plain.copy_(flags[0])
        model.moved.copy_(flags[1 if options.perturbed else 0])


def _batch(model: ScGPT, weights: Weights, options: ScGPTOptions) -> None:
    """Batch norm (plain or of one domain) folded to scale and shift, and the batch label's vector."""
    width = model.shape.width
    domains = {key.split(".")[2] for key in weights.names("dsbn.bns.")}
    labels = weights.shape("batch_encoder.embedding.weight")[0] if weights.has("batch_encoder.") else len(domains)
    if labels and not 0 <= options.batch < labels:
        message = f"{weights.path}: batch {options.batch} asked for; the checkpoint has batches 0 to {labels - 1}"
        raise InputError(message)
    norm = f"dsbn.bns.{options.batch}." if domains else "bn." if weights.has("bn.") else None
    with torch.no_grad():
        if norm is not None:
            _fill_batch_norm(model, weights, norm)
        if weights.has("batch_encoder."):
            table = weights.take("batch_encoder.embedding.weight", (labels, width))
            gain, offset = (weights.take(f"batch_encoder.enc_norm.{name}", (width,)) for name in ("weight", "bias"))
            model.batch.copy_(nn.functional.layer_norm(table[options.batch], (width,), gain, offset))


def _fill_batch_norm(model: ScGPT, weights: Weights, norm: str) -> None:
    width = model.shape.width
    mean, variance = (weights.take(f"{norm}running_{name}", (width,)) for name in ("mean", "var"))
    scale = torch.rsqrt(variance + NORM_EPS)
    affine = f"{norm}weight" in weights
    gain = weights.take(f"{norm}weight", (width,)) if affine else torch.ones(width)
    offset = weights.take(f"{norm}bias", (width,)) if affine else torch.zeros(width)
    model.scale.copy_(scale * gain)
    model.shift.copy_(offset - mean * scale * gain)
    weights.ignore("dsbn.bns.*", "batch norm of other batches")


FAMILY = Family(ScGPTOptions, load)
