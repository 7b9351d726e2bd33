"""scFoundation (Hao et al. 2024, Nature Methods, doi:10.1038/s41592-024-02305-7): the authors' ``models.ckpt``.

A value becomes soft weights over 100 learned bins. An encoder sees the genes with a value above zero and two
depth tokens, T (target log10 depth) and S (log10 total count), which are held fixed while probing; a Performer
decoder sees all 19,264 genes, those without a value by the embedding of zero, and predicts every gene's
expression at depth T. The prediction is smooth in a value above zero; at zero the gene leaves the encoder, a
discontinuity, so zero is no level. Linear attention normalises over all tokens: the decoder cannot be restricted
to the targets, except in its last layer.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import BackboneShape
from ugrn.runtime.errors import InputError

from ..model.base import BackboneCard, Loaded, Origin, Readout, VirtualCells
from ..model.layers import PostNormLayer, stock_names
from ..model.performer import PerformerLayer, fill_performer
from ..model.streams import ALL, Context, alike, encode, hide
from ..model.weights import Weights, checkpoint_metadata, find_file, number, read_state

GENE_LIST = "OS_scRNA_gene_index.19264.tsv"
CARD = BackboneCard(
    name="scfoundation",
    licence="LicenseRef-scFoundation-Model-License",
    units="ln(1 + 1e4 x / sum); genes outside the context carry 0, whatever the baseline",
    scale="ln-cp10k",
    baseline=1.0,
    vvp_levels=(0.25, 0.5, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0),
    gdt_levels=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0),
    readouts={"token": ""},
    notice="the scFoundation weights are licensed for non-commercial research only and may not be passed on, "
    "converted or not: keep this artifact to yourself",
    range=(sys.float_info.min, float("inf")),
    range_note="zero is a discontinuity: a gene without a value leaves the encoder",
)


@dataclass(frozen=True)
class ScFoundationOptions:
    """What upstream leaves open.

    Attributes:
        target_depth: T, log10 of the depth the prediction is for.
        total: S, log10 of the cell's total count.
        part: which model of the checkpoint: ``gene``, ``cell`` or ``rde``.
    """

    target_depth: float = 4.0
    total: float = 4.0
    part: str = "gene"


class ValueEmbedding(nn.Module):
    """softmax(a h + W2 h + b2) over the bins, h = LeakyReLU_0.1(W1 v + b1), weighs the bins' embeddings."""

    def __init__(self, bins: int, width: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.mlp = nn.Linear(1, bins)
        self.mlp2 = nn.Linear(bins, bins)
        self.emb = nn.Embedding(bins, width)

    def forward(self, values: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.mlp(values.unsqueeze(-1)), 0.1)
        return torch.matmul(F.softmax(self.alpha * hidden + self.mlp2(hidden), dim=-1), self.emb.weight)


@dataclass(frozen=True)
class Sizes:
    """Sizes of encoder and decoder, of the checkpoint's configuration."""

    genes: int
    bins: int
    alpha: float
    width: int
    layers: int
    heads: int
    decoder_width: int
    decoder_layers: int
    decoder_heads: int
    head_width: int


class ScFoundation(nn.Module):
    """The frozen model. V genes, N = V + 2 tokens of the decoder, width d of the encoder."""

    def __init__(self, sizes: Sizes, features: int, symbols: list[str], depth: tuple[float, float]) -> None:
        super().__init__()
        self.symbols = symbols
        self.card = CARD
        wide = max(sizes.width, sizes.decoder_width)
        layers = sizes.layers + sizes.decoder_layers
        self.shape = BackboneShape(wide, sizes.decoder_heads, 4 * wide, layers, sizes.genes + 2, features)
        self.depth: Tensor
        self.register_buffer("depth", torch.tensor(depth))  # values of T and S
        self.register_buffer("depth_places", torch.tensor([sizes.genes, sizes.genes + 1]))
        self.depth_places: Tensor
        self.token_emb = ValueEmbedding(sizes.bins, sizes.width, sizes.alpha)
        self.pos_emb = nn.Embedding(sizes.genes + 2, sizes.width)
        self.stack = nn.ModuleList(
            PostNormLayer(sizes.width, sizes.heads, 4 * sizes.width) for _ in range(sizes.layers)
        )
        self.encoder_norm = nn.LayerNorm(sizes.width)
        self.decoder_embed = nn.Linear(sizes.width, sizes.decoder_width)
        self.decoder = nn.ModuleList(
            PerformerLayer(
                sizes.decoder_width, sizes.decoder_heads, sizes.head_width, features, 4 * sizes.decoder_width, True
            )
            for _ in range(sizes.decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(sizes.decoder_width)
        self.norm = nn.LayerNorm(sizes.decoder_width)
        self.to_final = nn.Linear(sizes.decoder_width, 1)

    @property
    def last_layer(self) -> nn.Module:
        return self.decoder[-1]

    def gene_tokens(self, genes: Tensor) -> Tensor:
        return cast(Tensor, self.pos_emb(genes))

    def predict(self, cells: VirtualCells, targets: Tensor, readout: Readout) -> Tensor:
        x = self._decoder_tokens(cells)  # [R, N, decoder width]
        for index, layer in enumerate(self.decoder):
            x = layer(x, targets if index + 1 == len(self.decoder) else None)
        return cast(Tensor, self.to_final(self.norm(self.decoder_norm(x))).squeeze(-1))

    def _decoder_tokens(self, cells: VirtualCells) -> Tensor:
        """Every gene's token: encoded where it has a value, the embedding of zero elsewhere."""
        zero = self.token_emb(torch.zeros_like(self.depth[:1])) + self.pos_emb.weight  # [N, d]
        source, rest, places = self._encoded(cells)
        every = self.decoder_embed(zero).expand(cells.count, *zero.shape[:-1], self.decoder_embed.out_features)
        rest = self.decoder_embed(rest)
        x = torch.scatter(every, 1, places.unsqueeze(-1).expand(rest.shape), rest)
        here = torch.arange(zero.shape[0], device=cells.sources.device).unsqueeze(0) == cells.sources.unsqueeze(1)
        return torch.where(here.unsqueeze(-1), self.decoder_embed(source), x)

    def _encoded(self, cells: VirtualCells) -> tuple[Tensor, Tensor, Tensor]:
        """Source ``[R, 1, d]``, depth tokens and context ``[R, 2 + C, d]`` after the encoder, with their positions
        added again, and the places ``[R, 2 + C]`` of the latter."""
        places = torch.cat([self.depth_places, cells.context])
        values = torch.cat([self.depth, cells.context_values])
        where = self.pos_emb(places)
        own = self.pos_emb(cells.sources).unsqueeze(1)
        source = self.token_emb(cells.levels).unsqueeze(1) + own
        rest = (self.token_emb(values) + where).unsqueeze(0)
        absent = (cells.context_values <= 0).unsqueeze(0)  # [1, C]
        hidden, once = hide(cells.context_is_source | absent, 3), hide(cells.context_is_probed | absent, 2)
        x, _ = encode(alike(self.stack), Context(source, hidden, once, rest), ALL)  # [R, 3 + C, d]
        x = self.encoder_norm(x)
        zero = self.token_emb(torch.zeros_like(self.depth[:1]))
        encoded = torch.where((values <= 0).unsqueeze(-1), zero, x[:, 1:]) + where
        return x[:, :1] + own, encoded, places.unsqueeze(0).expand(cells.count, places.shape[0])


def load(folder: Path, options: ScFoundationOptions) -> Loaded:
    """Read a folder with ``models.ckpt`` and the gene list of the authors' repository.

    Raises:
        InputError: a file is missing or damaged, or the weights are not those of scFoundation.
    """
    path = find_file(folder, ["models.ckpt", "models1.ckpt"])
    whole = read_state(path)
    entry = whole.get(options.part)
    if not isinstance(entry, dict) or not {"config", "state_dict"} <= set(entry):
        message = (
            f"{path}: no model {options.part!r} with 'config' and 'state_dict'; found {sorted(map(str, whole))[:8]}"
        )
        raise InputError(message)
    state = {_after_model(key): value for key, value in entry["state_dict"].items()}
    weights = Weights(state, path, "scFoundation")
    sizes = _sizes(entry["config"], path)
    genes_path = find_file(folder, [GENE_LIST])
    symbols = _gene_list(genes_path, sizes.genes)
    projection = "decoder.performer.net.layers.0.0.fn.fast_attention.projection_matrix"
    model = ScFoundation(sizes, weights.shape(projection)[0], symbols, (options.target_depth, options.total))
    _fill(model, weights, sizes)
    metadata = checkpoint_metadata("scfoundation", asdict(options), (path, genes_path), weights)
    return Loaded(model.eval(), Origin(provenance=metadata))


def _after_model(key: str) -> str:
    """The name after the first ``model.``, as upstream reads it."""
    return key.split("model.", 1)[-1]


def _sizes(config: Mapping[str, Any], path: Path) -> Sizes:
    try:
        kind = config["model"]
        model, data = config["model_config"][kind], config["dataset_config"]["rnaseq"]
        encoder, decoder = model["encoder"], model["decoder"]
    except (KeyError, TypeError) as error:
        message = f"{path}: its configuration lacks {error}; expected that of the authors' mae_autobin model"
        raise InputError(message) from error
    metadata = {**model, **data}
    if (
        kind != "mae_autobin"
        or encoder.get("module_type", "transformer") != "transformer"
        or decoder.get("module_type", "performer") != "performer"
    ):
        message = f"{path}: model {kind!r}; expected mae_autobin with a transformer encoder and a performer decoder"
        raise InputError(message)
    return Sizes(
        genes=number(metadata, "seq_len", path) - 2,
        bins=number(metadata, "bin_num", path),
        alpha=float(metadata.get("bin_alpha", 1.0)),
        width=number(encoder, "hidden_dim", path),
        layers=number(encoder, "depth", path),
        heads=number(encoder, "heads", path),
        decoder_width=number(decoder, "hidden_dim", path),
        decoder_layers=number(decoder, "depth", path),
        decoder_heads=number(decoder, "heads", path),
        head_width=number(decoder, "dim_head", path),
    )


def _gene_list(path: Path, genes: int) -> list[str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(int(row["index"]), row["gene_name"]) for row in csv.DictReader(file, delimiter="\t")]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        message = f"{path}: cannot be read ({error!r}); expected tab-separated columns gene_name and index"
        raise InputError(message) from error
    symbols = [name for _, name in sorted(rows)]
    if [index for index, _ in sorted(rows)] != list(range(genes)) or len(set(symbols)) != genes:
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
        weights.fill(layer, stock_names(f"encoder.transformer_encoder.{index}."))
    for index, decoder in enumerate(model.decoder):
        fill_performer(cast(PerformerLayer, decoder), weights, f"decoder.performer.net.layers.{index}.")
    weights.ignore("token_emb.emb_mask.*", "embedding of masked values, which probing does not use")
    weights.ignore("token_emb.emb_pad.*", "embedding of padding")
    weights.ignore("*calls_since_last_redraw", "counter of training")
