"""scGPT (Cui et al. 2024, Nature Methods, doi:10.1038/s41592-024-02201-0): checkpoint folders of its authors.

A folder holds ``args.json``, ``vocab.json`` and ``best_model.pt`` (or ``.safetensors``). Read are the released
generative checkpoints (with ``flag_encoder``), the older blood layout, masked fine-tunes (batch norm, batch
labels, zero logits) and perturbation fine-tunes (``pert_encoder``, affine decoder), in all three attention
layouts, which hold the same numbers. Perturbation fine-tunes were trained without ``<cls>`` and get none.

A token is LN(embedding) + LN(W2 relu(W1 v + b1) + b2); the layers are
post-norm with ReLU; the gene vectors are stored normalised.

What training reads decides which readout is legitimate: a generative checkpoint predicts genes from value-free
query tokens that attend to the cell and themselves, without the attention's output projection (``gen``), and
from ``<cls>`` (``mvc``); a fine-tune predicts tokens with the mask value -1 (``masked``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import BackboneShape
from ugrn.runtime.errors import InputError

from ..model.base import NO_PREDICTION, BackboneCard, Loaded, Origin, Readout, VirtualCells
from ..model.layers import PostNormLayer, join_heads, leaky_mlp, stock_names
from ..model.streams import Layers, predict_streams
from ..model.weights import Weights, checkpoint_metadata, find_file, number, read_json, read_state, read_vocabulary_ids

SPECIAL = ("<pad>", "<cls>", "<eoc>")
MOST = 512.0  # values are clamped above at it
NORM_EPS = 6.1e-5  # of the batch norms
MASK_VALUE = -1.0
LICENCE = "MIT (code); the authors state no licence for the weights"
NOT_IN_LOSS = "the prediction at a token that carries its value was never part of scGPT's loss"
NEVER_MASKED = "the mask value -1 does not occur in the training of generative checkpoints"
BINS = {
    "units": "expression bins of the cell: 1 (lowest) to 50 (highest) of its non-zero genes",
    "scale": "bins",
    "baseline": 25.0,
    "vvp_levels": (1.0, 8.0, 15.0, 20.0, 30.0, 36.0, 43.0, 50.0),
    "gdt_levels": (1.0, 8.0, 15.0, 22.0, 29.0, 36.0, 43.0, 50.0),
}
LOGNORM = {
    "units": "ln(1 + 1e4 x / sum)",
    "scale": "ln-cp10k",
    "baseline": 1.0,
    "vvp_levels": (0.0, 0.25, 0.5, 1.5, 2.0, 3.0, 4.0, 5.0),
    "gdt_levels": (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0),
}
QKV = ("self_attn.Wqkv.{}", "self_attn._impl.Wqkv.{}", "self_attn.in_proj_{}")
UNUSED = {
    "cls_decoder.*": "cell-type classifier",
    "grad_reverse_discriminator.*": "batch discriminator of training",
    "*.num_batches_tracked": "counter of training",
}


@dataclass(frozen=True)
class ScGPTOptions:
    """What upstream leaves open.

    Attributes:
        cls_value: value of the ``<cls>`` token; None takes `pad_value` of generative checkpoints (-2 as
            released) and 0 of fine-tunes, as their training did.
        batch: batch label, of checkpoints with domain-specific batch norm or batch labels.
        zero_probability: multiply predictions by the probability of being non-zero, of checkpoints with
            zero logits; upstream samples it in its own predictions and leaves it out of its loss.
        perturbed: give the source the flag of a perturbed gene, of perturbation fine-tunes.
    """

    cls_value: float | None = None
    batch: int = 0
    zero_probability: bool = False
    perturbed: bool = False


class ValueEncoder(nn.Module):
    """LN(W2 relu(W1 v + b1) + b2), v clamped above at 512."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(1, width)
        self.linear2 = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor) -> Tensor:
        hidden = torch.relu(self.linear1(torch.clamp(values, max=MOST).unsqueeze(-1)))
        return cast(Tensor, self.norm(self.linear2(hidden)))


class CellDecoder(nn.Module):
    """The MVC head: query q_j = sigmoid(gene2query(g_j)), read against ``<cls>`` in one of three styles."""

    def __init__(self, width: int, cell_width: int, style: str, zero: bool) -> None:
        super().__init__()
        self.style = style
        self.gene2query = nn.Linear(width, 64 if style == "concat" else width)
        self.zero = nn.Linear(width, cell_width) if zero else None
        if style == "inner":
            self.W = nn.Linear(width, cell_width, bias=False)
        else:
            self.fc1 = nn.Linear(width + 64 if style == "concat" else width, 64)
            self.slope = nn.Parameter(torch.tensor([0.25]))
            self.fc2 = nn.Linear(64, 1)

    def forward(self, cell: Tensor, genes: Tensor) -> Tensor:
        query = torch.sigmoid(self.gene2query(genes))  # [Q, d]
        if self.style == "inner":
            read = torch.matmul(cell, self.W(query).transpose(0, 1))  # [R, Q]
            if self.zero is None:
                return read
            return read * torch.sigmoid(torch.matmul(cell, self.zero(query).transpose(0, 1)))
        weight = self.fc1.weight
        of_cell, of_query = (
            (weight, weight) if self.style == "sum" else (weight[:, : -query.shape[1]], weight[:, -query.shape[1] :])
        )
        both = nn.functional.linear(cell, of_cell, self.fc1.bias).unsqueeze(1) + nn.functional.linear(query, of_query)
        hidden = torch.relu(both) - self.slope * torch.relu(-both)  # PReLU, [R, Q, 64]
        return cast(Tensor, self.fc2(hidden).squeeze(-1))


class QueryLayer:
    """A layer as the generative attention applies it to queries: without the output projection."""

    def __init__(self, layer: PostNormLayer) -> None:
        self.project = layer.project
        self._feed = layer.feed

    def merge(self, x: Tensor, attended: Tensor) -> Tensor:
        return self._feed(x, join_heads(attended))


@dataclass(frozen=True)
class Parts:
    """Which parts a checkpoint has, and its sizes."""

    width: int
    heads: int
    feedforward: int
    layers: int
    batch_width: int
    cell_style: str | None
    zero: bool
    affine: bool
    generative: bool


class ScGPT(nn.Module):
    """The frozen model. V genes, width d. The buffers hold what does not depend on the values."""

    def __init__(self, parts: Parts, symbols: list[str], card: BackboneCard) -> None:
        super().__init__()
        self.symbols = symbols
        self.card = card
        self.shape = BackboneShape(parts.width, parts.heads, parts.feedforward, parts.layers)
        width, decoded = parts.width, parts.width + parts.batch_width
        self.genes: Tensor
        self.cls: Tensor
        self.flag: Tensor
        self.plain: Tensor
        self.moved: Tensor
        self.scale: Tensor
        self.shift: Tensor
        self.batch: Tensor
        self.register_buffer("genes", torch.zeros(len(symbols), width))  # normalised gene vectors
        self.register_buffer("cls", torch.zeros(width))  # the <cls> gene vector and its value
        self.register_buffer("flag", torch.zeros(width))  # stands for the value of a generated token
        self.register_buffer("plain", torch.zeros(width))  # flag of an unperturbed gene
        self.register_buffer("moved", torch.zeros(width))  # flag of the source
        self.register_buffer("scale", torch.ones(width))  # batch norm
        self.register_buffer("shift", torch.zeros(width))
        self.register_buffer("batch", torch.zeros(parts.batch_width))
        self.value_encoder = ValueEncoder(width)
        self.stack = nn.ModuleList(PostNormLayer(width, parts.heads, parts.feedforward) for _ in range(parts.layers))
        self.decoder = leaky_mlp(decoded, width)
        self.coefficient = leaky_mlp(decoded, width) if parts.affine else None
        self.zero = leaky_mlp(decoded, width) if parts.zero else None
        self.cell_decoder = (
            CellDecoder(width, decoded, parts.cell_style, parts.zero) if parts.cell_style is not None else None
        )

    @property
    def last_layer(self) -> nn.Module:
        return self.stack[-1]

    def gene_tokens(self, genes: Tensor) -> Tensor:
        return self.genes[genes]

    def predict(self, cells: VirtualCells, targets: Tensor, readout: Readout) -> Tensor:
        return predict_streams(self, cells, targets, readout, self._embed_source)

    def layers(self, readout: Readout) -> Layers:
        layers = [cast(PostNormLayer, layer) for layer in self.stack]
        return [(layer, QueryLayer(layer) if readout == "gen" else layer) for layer in layers]

    def embed(self, genes: Tensor, values: Tensor) -> Tensor:
        return self._normalise(self.genes[genes] + self.value_encoder(values) + self.plain)

    def _embed_source(self, genes: Tensor, values: Tensor) -> Tensor:
        return self._normalise(self.genes[genes] + self.value_encoder(values) + self.moved)

    def embed_valueless(self, genes: Tensor, readout: Readout) -> Tensor:
        if readout == "masked":
            return self.embed(genes, torch.full_like(genes, MASK_VALUE, dtype=self.genes.dtype))
        return self._normalise(self.genes[genes] + self.flag)

    def cls_token(self) -> Tensor | None:
        return None if self.coefficient is not None else self._normalise(self.cls)

    def decode(self, tokens: Tensor, values: Tensor) -> Tensor:
        tokens = self._with_batch(tokens)
        read = self.decoder(tokens).squeeze(-1)
        if self.coefficient is not None:
            read = self.coefficient(tokens).squeeze(-1) * values + read
        if self.zero is not None:
            read = read * torch.sigmoid(self.zero(tokens).squeeze(-1))
        return cast(Tensor, read)

    def decode_cell(self, cell: Tensor, targets: Tensor) -> Tensor:
        head = cast(CellDecoder, self.cell_decoder)
        return cast(Tensor, head(self._with_batch(cell), self.genes[targets]))

    def _normalise(self, tokens: Tensor) -> Tensor:
        return tokens * self.scale + self.shift

    def _with_batch(self, tokens: Tensor) -> Tensor:
        if self.batch.shape[0] == 0:
            return tokens
        return torch.cat([tokens, self.batch.expand(*tokens.shape[:-1], self.batch.shape[0])], dim=-1)


def load(folder: Path, options: ScGPTOptions) -> Loaded:
    """Read a checkpoint folder.

    Raises:
        InputError: a file is missing or damaged, or the weights are not those of an scGPT checkpoint.
    """
    args_path = find_file(folder, ["args.json"])
    args = read_json(args_path)
    vocabulary_path = find_file(folder, ["vocab.json", "default_census_vocab.json"])
    vocabulary = read_vocabulary_ids(vocabulary_path, SPECIAL)
    path = find_file(folder, ["best_model.pt", "best_model.safetensors", "model.safetensors"])
    weights = Weights(strip_module(read_state(path)), path, "scGPT")
    parts = _parts(weights, args, args_path, options)
    rows = [row for row, token in enumerate(vocabulary) if token not in SPECIAL]
    affine = parts.affine
    model = ScGPT(parts, [vocabulary[row] for row in rows], _card(parts))
    _fill(model, weights, parts, options)
    _embed(model, weights, vocabulary, rows, _cls_value(options, args, parts))
    _perturbation(model, weights, options, affine)
    _batch(model, weights, options)
    for pattern, reason in UNUSED.items():
        weights.ignore(pattern, reason)
    metadata = checkpoint_metadata(
        "scgpt",
        asdict(options) | {"cls_value": _cls_value(options, args, parts)},
        (args_path, vocabulary_path, path),
        weights,
        regime="perturbation" if affine else "generative" if parts.generative else "masked",
    )
    return Loaded(model.eval(), Origin(provenance=metadata), embeddings=model.genes.numpy())


def strip_module(state: Mapping[str, Any]) -> dict[str, Any]:
    """Names without the ``module.`` that distributed training puts before all of them."""
    if all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def _parts(weights: Weights, args: Mapping[str, Any], path: Path, options: ScGPTOptions) -> Parts:
    """Sizes from ``args.json``; parts from the keys that are there."""
    style = args.get("input_emb_style", "continuous")
    pooled = args.get("cell_emb_style", "cls")
    if style != "continuous" or args.get("pre_norm") or pooled != "cls":
        message = (
            f"{path}: input_emb_style {style!r}, pre_norm {bool(args.get('pre_norm'))}, cell_emb_style {pooled!r}; "
            "only continuous value encoding with post-norm layers and a <cls> token, as released, can be probed"
        )
        raise InputError(message)
    width, heads = number(args, "embsize", path), number(args, "nheads", path)
    if width % heads:
        message = f"{path}: embsize {width} is not a multiple of nheads {heads}"
        raise InputError(message)
    cell_style = None
    if weights.has("mvc_decoder."):
        inner = "mvc_decoder.W.weight" in weights
        concat = not inner and weights.shape("mvc_decoder.fc1.weight")[1] == width + 64
        cell_style = "inner" if inner else "concat" if concat else "sum"
    zero = weights.has("decoder.zero_logit.") or weights.has("decoder.coeff_decoder.zero_logit.")
    if options.zero_probability and not zero:
        message = f"{weights.path}: zero-probability was asked for, but the checkpoint has no decoder.zero_logit"
        raise InputError(message)
    return Parts(
        width=width,
        heads=heads,
        feedforward=number(args, "d_hid", path),
        layers=number(args, "nlayers", path),
        batch_width=width if weights.has("batch_encoder.") else 0,
        cell_style=cell_style,
        zero=options.zero_probability,
        affine=weights.has("pert_encoder."),
        generative=weights.has("flag_encoder."),
    )


def _card(parts: Parts) -> BackboneCard:
    offered: dict[Readout, str] = {}
    if parts.affine:
        offered["token"] = ""
    elif parts.generative:
        offered["gen"] = ""
    else:
        offered["masked"] = ""
    if not parts.affine:
        if parts.cell_style is not None:
            offered["mvc"] = ""
        offered.setdefault("masked", NEVER_MASKED)
        offered["token"] = NOT_IN_LOSS
    offered["attn"] = NO_PREDICTION
    scale = LOGNORM if parts.affine else BINS
    trained = (0.0, inf) if parts.affine else (1.0 if parts.generative else 0.0, 50.0)
    return BackboneCard(name="scgpt", licence=LICENCE, readouts=offered, trained=trained, **cast(Any, scale))


def _cls_value(options: ScGPTOptions, args: Mapping[str, Any], parts: Parts) -> float:
    if options.cls_value is not None:
        return options.cls_value
    return float(args.get("pad_value", -2.0)) if parts.generative and not parts.affine else 0.0


def _fill(model: ScGPT, weights: Weights, parts: Parts, options: ScGPTOptions) -> None:
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
    reason = "zero logits, left out unless zero-probability is set"
    if parts.affine:
        weights.ignore("decoder.bias_decoder.zero_logit.*", "zero logits of the offset, which upstream does not read")
    if not parts.zero:
        weights.ignore("*zero_logit.*", reason)


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
    domains = sorted({int(key.split(".")[2]) for key in weights.names("dsbn.bns.")})
    labels = weights.shape("batch_encoder.embedding.weight")[0] if weights.has("batch_encoder.") else len(domains)
    if labels and not 0 <= options.batch < labels:
        message = f"{weights.path}: batch {options.batch} asked for; the checkpoint has batches 0 to {labels - 1}"
        raise InputError(message)
    norm = f"dsbn.bns.{options.batch}." if domains else "bn." if weights.has("bn.") else None
    with torch.no_grad():
        if norm is not None:
            mean, variance = (weights.take(f"{norm}running_{name}", (width,)) for name in ("mean", "var"))
            scale = torch.rsqrt(variance + NORM_EPS)
            affine = f"{norm}weight" in weights
            gain = weights.take(f"{norm}weight", (width,)) if affine else torch.ones(width)
            offset = weights.take(f"{norm}bias", (width,)) if affine else torch.zeros(width)
            model.scale.copy_(scale * gain)
            model.shift.copy_(offset - mean * scale * gain)
            weights.ignore("dsbn.bns.*", "batch norm of other batches")
        if weights.has("batch_encoder."):
            table = weights.take("batch_encoder.embedding.weight", (labels, width))
            gain, offset = (weights.take(f"batch_encoder.enc_norm.{name}", (width,)) for name in ("weight", "bias"))
            model.batch.copy_(nn.functional.layer_norm(table[options.batch], (width,), gain, offset))
