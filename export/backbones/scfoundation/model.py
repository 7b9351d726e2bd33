"""The scFoundation model: an encoder of the genes with a value, a decoder of all."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import BackboneShape

from ...model.base import BackboneCard, Readout, VirtualCells
from ...model.layers import PostNormLayer
from ...model.performer import PerformerLayer
from ...model.streams import ALL, Context, alike, encode, hide

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
        self.depth = nn.Buffer(torch.tensor(depth))  # values of T and S
        self.depth_places = nn.Buffer(torch.tensor([sizes.genes, sizes.genes + 1]))
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
