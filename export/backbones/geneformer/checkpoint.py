"""Checkpoint folders of Geneformer: read, and filled into the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch

from ugrn.runtime.errors import InputError

from ...model.base import Loaded, Origin
from ...model.checkpoint_files import find_file, finite, positive, read_json, read_state, width_and_heads
from ...model.family import Family
from ...model.layers import PostNormLayer
from ...model.weights import Weights, checkpoint_metadata
from .dictionaries import aliases_of, genes_in_order, read_dictionary
from .model import Geneformer, GeneformerOptions, Sizes

EPS = 1e-12


def load(folder: Path, options: GeneformerOptions) -> Loaded:
    """Read a Hugging Face folder with the token and median dictionaries in it; raises as `Family.load`."""
    if not options.temperature > 0:
        message = f"temperature {options.temperature}: expected a number above 0"
        raise InputError(message)
    config_path = find_file(folder, ["config.json"])
    sizes = _sizes(config_path)
    tokens, tokens_path = read_dictionary(folder, "token_dictionary", options.allow_pickle)
    medians, medians_path = read_dictionary(folder, "gene_median_dictionary", options.allow_pickle)
    symbols, rows = genes_in_order(tokens, medians, tokens_path, medians_path)
    path = find_file(folder, ["model.safetensors", "pytorch_model.bin"])
    weights = Weights(read_state(path), path, "Geneformer")
    _check_sizes(weights, sizes)
    model = Geneformer(sizes, symbols, options)
    _fill(model, weights, tokens, rows)
    with torch.no_grad():
        model.median.copy_(torch.tensor([float(medians[gene]) for gene in symbols]))
        model.log_median.copy_(torch.log(model.median))
    files = (config_path, tokens_path, medians_path, path)
    recorded = checkpoint_metadata(
        "geneformer", asdict(options), files, weights, version="V2" if model.framed else "V1"
    )
    origin = Origin(aliases_of(folder, symbols, options.allow_pickle), provenance=recorded)
    return Loaded(model.eval(), origin, embeddings=model.words.weight.detach().numpy())


def _sizes(path: Path) -> Sizes:
    config = read_json(path)
    if config.get("hidden_act", "relu") != "relu" or config.get("position_embedding_type", "absolute") != "absolute":
        message = f"{path}: hidden_act {config.get('hidden_act')!r}; expected relu and absolute positions"
        raise InputError(message)
    width, heads = width_and_heads(config, "hidden_size", "num_attention_heads", path)
    return Sizes(
        width=width,
        heads=heads,
        feedforward=positive(config, "intermediate_size", path),
        layers=positive(config, "num_hidden_layers", path),
        positions=positive(config, "max_position_embeddings", path),
        eps=finite(config, "layer_norm_eps", path, EPS),
    )


def _check_sizes(weights: Weights, sizes: Sizes) -> None:
    """Refuse sizes that are not those of the weights before a model is made of them: it could be of any size."""
    first, last = (f"bert.encoder.layer.{layer}." for layer in (0, sizes.layers - 1))
    weights.check({"bert.embeddings.position_embeddings.weight": (sizes.positions, sizes.width)})
    weights.check({f"{first}intermediate.dense.weight": (sizes.feedforward, sizes.width)})
    weights.check({f"{last}output.LayerNorm.bias": (sizes.width,)})


def _fill(model: Geneformer, weights: Weights, tokens: Mapping[str, Any], rows: list[int]) -> None:
    _fill_words(model, weights, tokens, rows)
    head = "cls.predictions.transform"
    names = {"positions": "bert.embeddings.position_embeddings", "embed_norm": "bert.embeddings.LayerNorm"}
    weights.fill(model, names | {"transform": f"{head}.dense", "transform_norm": f"{head}.LayerNorm"})
    for index, layer in enumerate(model.stack):
        _fill_layer(cast(PostNormLayer, layer), weights, f"bert.encoder.layer.{index}.", model.shape.width)
    weights.ignore("bert.embeddings.position_ids", "a counter")
    weights.ignore("bert.pooler.*", "the cell embedding of a classifier")


def _fill_words(model: Geneformer, weights: Weights, tokens: Mapping[str, Any], rows: list[int]) -> None:
    """Word vectors of genes and special tokens, and the bias, to both of which the decoder must be tied."""
    width, kinds = model.shape.width, "bert.embeddings.token_type_embeddings.weight"
    with torch.no_grad():
        table = weights.take("bert.embeddings.word_embeddings.weight", (len(tokens), width))
        model.words.weight.copy_(table[rows])
        model.mask.copy_(table[tokens["<mask>"]])
        model.framed = "<cls>" in tokens and "<eos>" in tokens
        if model.framed:
            model.cls.copy_(table[tokens["<cls>"]])
            model.eos.copy_(table[tokens["<eos>"]])
        model.kind.copy_(weights.take(kinds, (weights.shape(kinds)[0], width))[0])
        bias = weights.take("cls.predictions.bias", (len(tokens),))
        model.bias.copy_(bias[rows])
    for kind, tied, to in (("weight", table, "the word embeddings"), ("bias", bias, "cls.predictions.bias")):
        name = f"cls.predictions.decoder.{kind}"
        if name in weights and not torch.equal(weights.take(name, tuple(tied.shape)), tied):
            message = f"{weights.path}: {name} is not tied to {to}, as Geneformer's is"
            raise InputError(message)


def _fill_layer(layer: PostNormLayer, weights: Weights, prefix: str, width: int) -> None:
    with torch.no_grad():
        for kind, shape in (("weight", (width, width)), ("bias", (width,))):
            parts = [weights.take(f"{prefix}attention.self.{n}.{kind}", shape) for n in ("query", "key", "value")]
            getattr(layer.qkv, kind).copy_(torch.cat(parts))
    own = {"out": "attention.output.dense", "norm1": "attention.output.LayerNorm"}
    own |= {"expand": "intermediate.dense", "shrink": "output.dense", "norm2": "output.LayerNorm"}
    weights.fill(layer, {name: prefix + key for name, key in own.items()})


FAMILY = Family(GeneformerOptions, load)
