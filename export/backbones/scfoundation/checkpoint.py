"""Checkpoints of scFoundation: the file, and the gene list beside it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from ugrn.runtime.errors import InputError

from ...model.base import Loaded, Origin
from ...model.checkpoint_files import find_file, finite, named, positive, read_state, width_and_heads
from ...model.family import Family
from ...model.layers import stock_names
from ...model.performer import PerformerLayer, fill_performer
from ...model.weights import Weights, checkpoint_metadata
from .model import ScFoundation, Sizes

GENE_LIST = "OS_scRNA_gene_index.19264.tsv"
ENCODER, DECODER = "encoder.transformer_encoder.", "decoder.performer.net.layers."
PROJECTION = "0.fn.fast_attention.projection_matrix"


@dataclass(frozen=True)
class ScFoundationOptions:
    """Choices that upstream leaves open.

    Attributes:
        target_depth: T, log10 of the depth the prediction is for.
        total: S, log10 of the cell's total count.
        part: the model of the checkpoint: ``gene``, ``cell`` or ``rde``.
    """

    target_depth: float = 4.0
    total: float = 4.0
    part: str = "gene"


def load(folder: Path, options: ScFoundationOptions) -> Loaded:
    """Read a folder with ``models.ckpt`` and the gene list of the authors' repository; raises as `Family.load`."""
    path = find_file(folder, ["models.ckpt", "models1.ckpt"])
    whole = read_state(path)
    entry = whole.get(options.part)
    if not isinstance(entry, dict) or not {"config", "state_dict"} <= set(entry):
        message = (
            f"{path}: no model {options.part!r} with 'config' and 'state_dict'; found {sorted(map(str, whole))[:8]}"
        )
        raise InputError(message)
    state = {_after_model(key): value for key, value in named(entry["state_dict"], path).items()}
    weights = Weights(state, path, "scFoundation")
    sizes = _sizes(entry["config"], path)
    genes_path = find_file(folder, [GENE_LIST])
    symbols = _gene_list(genes_path, sizes.genes)
    _check_sizes(weights, sizes)
    features = weights.shape(f"{DECODER}0.{PROJECTION}")[0]
    model = ScFoundation(sizes, features, symbols, (options.target_depth, options.total))
    _fill(model, weights, sizes)
    metadata = checkpoint_metadata("scfoundation", asdict(options), (path, genes_path), weights)
    return Loaded(model.eval(), Origin(provenance=metadata))


def _after_model(key: str) -> str:
    """The name after the first ``model.``, as upstream reads it."""
    return key.split("model.", 1)[-1]


def _sizes(config: Any, path: Path) -> Sizes:
    kind = _entry(config, "model", path)
    model = _entry(_entry(config, "model_config", path), kind, path)
    data = _entry(_entry(config, "dataset_config", path), "rnaseq", path)
    encoder, decoder = _entry(model, "encoder", path), _entry(model, "decoder", path)
    for part in (model, data, encoder, decoder):
        named(part, path)
    metadata = {**model, **data}
    if (
        kind != "mae_autobin"
        or encoder.get("module_type", "transformer") != "transformer"
        or decoder.get("module_type", "performer") != "performer"
    ):
        message = f"{path}: model {kind!r}; expected mae_autobin with a transformer encoder and a performer decoder"
        raise InputError(message)
    width, heads = width_and_heads(encoder, "hidden_dim", "heads", path)
    return Sizes(
        genes=positive(metadata, "seq_len", path) - 2,
        bins=positive(metadata, "bin_num", path),
        alpha=finite(metadata, "bin_alpha", path, 1.0),
        width=width,
        layers=positive(encoder, "depth", path),
        heads=heads,
        decoder_width=positive(decoder, "hidden_dim", path),
        decoder_layers=positive(decoder, "depth", path),
        decoder_heads=positive(decoder, "heads", path),
        head_width=positive(decoder, "dim_head", path),
    )


def _entry(config: Any, key: Any, path: Path) -> Any:
    if not isinstance(config, Mapping) or not isinstance(key, str) or key not in config:
        message = f"{path}: its configuration lacks {key!r}; expected that of the authors' mae_autobin model"
        raise InputError(message)
    return config[key]


def _check_sizes(weights: Weights, sizes: Sizes) -> None:
    """Refuse sizes that are not those of the weights before a model is made of them: it could be of any size."""
    weights.check({"pos_emb.weight": (sizes.genes + 3, sizes.width), "token_emb.emb.weight": (sizes.bins, sizes.width)})
    weights.check({f"{ENCODER}{sizes.layers - 1}.norm2.bias": (sizes.width,)})
    inner = sizes.decoder_heads * sizes.head_width
    weights.check({f"{DECODER}0.0.fn.to_q.weight": (inner, sizes.decoder_width)})
    weights.check({f"{DECODER}{sizes.decoder_layers - 1}.0.norm.bias": (sizes.decoder_width,)})


def _gene_list(path: Path, genes: int) -> list[str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"{path}: cannot be read ({error!r}); expected tab-separated columns gene_name and index"
        raise InputError(message) from error
    strange = [row for row in rows if not (row.get("index") or "").isdecimal() or not row.get("gene_name")]
    if strange:
        message = f"{path}: cannot be read ({strange[0]}); expected tab-separated columns gene_name and index"
        raise InputError(message)
    by_index = sorted((int(row["index"]), row["gene_name"]) for row in rows)
    symbols = [name for _, name in by_index]
    whole = len(symbols) == genes and [index for index, _ in by_index] == list(range(genes))
    if not whole or len(set(symbols)) != genes:
        message = f"{path}: {len(symbols)} genes, {len(set(symbols))} distinct; expected {genes} with indices from 0"
        raise InputError(message)
    return symbols


def _fill(model: ScFoundation, weights: Weights, sizes: Sizes) -> None:
    names = {f"token_emb.{name}": f"token_emb.{name}" for name in ("mlp", "mlp2", "emb")}
    names |= {"encoder_norm": "encoder.norm", "decoder_norm": "decoder.norm", "norm": "norm"}
    weights.fill(model, names | {"decoder_embed": "decoder_embed", "to_final": "to_final"})
    with torch.no_grad():
        places = weights.take("pos_emb.weight", (sizes.genes + 3, sizes.width))
        model.pos_emb.weight.copy_(places[:-1])  # the last is of padding
    for index, layer in enumerate(model.stack):
        weights.fill(layer, stock_names(f"{ENCODER}{index}."))
    for index, decoder in enumerate(model.decoder):
        fill_performer(cast(PerformerLayer, decoder), weights, f"{DECODER}{index}.")
    weights.ignore("token_emb.emb_mask.*", "embedding of masked values, which probing does not use")
    weights.ignore("token_emb.emb_pad.*", "embedding of padding")
    weights.ignore("*calls_since_last_redraw", "counter of training")


FAMILY = Family(ScFoundationOptions, load)
