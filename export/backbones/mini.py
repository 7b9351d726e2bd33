"""The bundled backbone: a small scFM with text-informed gene tokens.

Post-norm transformer over ``<cls>`` and gene tokens (Vaswani et al. 2017, arXiv 1706.03762) with a
continuous value encoder and a cell-to-gene head as in scGPT (Cui et al. 2024, "MVC"). A gene's token is a
learned projection of a sentence embedding of its name, joined by its co-expression components, plus a learned
residual; after training all is folded into one finished table, so that an exported graph knows no text model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import BackboneShape

from ..model.base import NO_PREDICTION, BackboneCard, Readout, VirtualCells
from ..model.layers import PostNormLayer
from ..model.streams import Layers, alike, predict_streams

CARD = BackboneCard(
    name="mini",
    licence="not stated",
    units="standard deviations of the gene from its mean within one expression source, less the mean of the cell",
    scale="z-score",
    baseline=0.0,
    vvp_levels=(-4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 4.0, 6.0),
    gdt_levels=(-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0),
    readouts={
        "mvc": "",
        "masked": "",
        "token": "pretraining predicts masked values, not those of tokens that carry one",
        "attn": NO_PREDICTION,
    },
    trained=(-4.0, 6.0),
)
TOKEN_HEAD = ("mask", "decoder.0.weight", "decoder.0.bias", "decoder.2.weight", "decoder.2.bias")
HEADLESS_CARD = replace(CARD, readouts={name: CARD.readouts[name] for name in ("mvc", "attn")})
"""Of a backbone whose weights do not hold `TOKEN_HEAD`, or zeros for it."""


@dataclass(frozen=True)
class MiniConfig:
    """Size of a mini backbone.

    Attributes:
        width: token width d.
        layers: number of transformer layers.
        heads: attention heads; divides `width`.
        feedforward: hidden width of the feed-forward blocks.
        text_width: width of the gene embeddings the gene tokens are learned from; 0 where that is not known.
    """

    width: int = 192
    layers: int = 2
    heads: int = 6
    feedforward: int = 384
    text_width: int = 384

    def __post_init__(self) -> None:
        if self.width % self.heads:
            message = f"{self.heads} heads do not divide a width of {self.width}"
            raise ValueError(message)


class LearnedGenes(nn.Module):
    """Gene tokens in training: LayerNorm(projection of the embedding + residual)."""

    def __init__(self, embeddings: Tensor, width: int) -> None:
        super().__init__()
        self.embeddings = nn.Buffer(embeddings, persistent=False)  # [V, text_width]
        self.projection = nn.Linear(embeddings.shape[1], width)
        self.residual = nn.Embedding(len(embeddings), width)
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.residual.weight, std=0.02)

    def forward(self, genes: Tensor) -> Tensor:
        text = F.embedding(genes, self.embeddings)
        return cast(Tensor, self.norm(self.projection(text) + self.residual(genes)))


class FinishedGenes(nn.Module):
    """Gene tokens after training: one half-precision table ``[V, d]``."""

    def __init__(self, genes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Buffer(torch.zeros(genes, width, dtype=torch.float16))

    def forward(self, genes: Tensor) -> Tensor:
        rows = F.embedding(genes, self.table)
        return rows.float() if rows.dtype == torch.float16 else rows


class MiniBackbone(nn.Module):
    """The mini scFM; see the module's docstring."""

    def __init__(self, config: MiniConfig, symbols: list[str], genes: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.symbols = symbols
        self.card = CARD
        self.shape = BackboneShape(config.width, config.heads, config.feedforward, config.layers)
        width = config.width
        self.genes = genes
        self.value1 = nn.Linear(1, width)
        self.value2 = nn.Linear(width, width)
        self.gate = nn.Linear(width, width, bias=False)
        self.mask = nn.Parameter(torch.zeros(width))
        self.cls = nn.Parameter(torch.randn(width) * 0.5)
        self.stack = nn.ModuleList(
            PostNormLayer(width, config.heads, config.feedforward, F.gelu) for _ in range(config.layers)
        )
        self.decoder = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.cell_query = nn.Linear(width, width)
        self.cell_scale = 1.0 / math.sqrt(width)

    @property
    def last_layer(self) -> nn.Module:
        return self.stack[-1]

    def gene_tokens(self, genes: Tensor) -> Tensor:
        return cast(Tensor, self.genes(genes))

    def predict(self, cells: VirtualCells, targets: Tensor, readout: Readout) -> Tensor:
        return predict_streams(self, cells, targets, readout)

    def layers(self, readout: Readout) -> Layers:
        return alike(self.stack)

    def embed(self, genes: Tensor, values: Tensor) -> Tensor:
        gene = self.genes(genes)  # [..., d]
        value = self.value2(F.gelu(self.value1(values.unsqueeze(-1))))  # [..., d]
        return cast(Tensor, gene + value + value * self.gate(gene))

    def embed_valueless(self, genes: Tensor, readout: Readout) -> Tensor:
        return cast(Tensor, self.genes(genes) + self.mask)

    def cls_token(self) -> Tensor:
        return self.cls

    def decode(self, tokens: Tensor, values: Tensor) -> Tensor:
        return cast(Tensor, self.decoder(tokens).squeeze(-1))

    def decode_cell(self, cell: Tensor, targets: Tensor) -> Tensor:
        """``[R, Q]``: q_j . h with q_j = W g_j + b, where W is taken to the few cells, not to the many targets."""
        weight, bias = self.cell_query.weight, self.cell_query.bias
        asked = torch.matmul(cell, weight * self.cell_scale)  # [R, d]
        offset = torch.matmul(cell, bias.unsqueeze(1) * self.cell_scale)  # [R, 1]
        return torch.matmul(asked, self.genes(targets).transpose(0, 1)) + offset

    def artifact_weights(self) -> dict[str, Tensor]:
        """Tensors ``[...]`` by name, of a finished backbone; without the token head where there is none."""
        left_out = () if "masked" in self.card.readouts else TOKEN_HEAD
        return {name: tensor for name, tensor in self.state_dict().items() if name not in left_out}

    @torch.no_grad()
    def finished(self) -> MiniBackbone:
        """A copy in evaluation mode whose gene tokens are one half-precision table."""
        table = FinishedGenes(len(self.symbols), self.config.width)
        ids = torch.arange(len(self.symbols))
        table.table.copy_(self.genes(ids).to(torch.float16))
        copy = MiniBackbone(self.config, self.symbols, table)
        own = {k: v for k, v in self.state_dict().items() if not k.startswith("genes.")}
        copy.load_state_dict({**own, "genes.table": table.table})
        return copy.eval()
