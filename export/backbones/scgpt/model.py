"""The scGPT model: tokens, heads and decoders."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import BackboneShape

from ...model.base import BackboneCard, Readout, VirtualCells
from ...model.layers import PostNormLayer, join_heads, leaky_mlp
from ...model.streams import Layers, predict_streams
from .parts import Parts

MOST = 512.0  # values are clamped above at it
MASK_VALUE = -1.0


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


class ScGPT(nn.Module):
    """The frozen model. V genes, width d. The buffers hold what does not depend on the values."""

    def __init__(self, parts: Parts, symbols: list[str], card: BackboneCard) -> None:
        super().__init__()
        self.symbols = symbols
        self.card = card
        self.shape = BackboneShape(parts.width, parts.heads, parts.feedforward, parts.layers)
        width, decoded = parts.width, parts.width + parts.batch_width
        self.genes = nn.Buffer(torch.zeros(len(symbols), width))  # normalised gene vectors
        self.cls = nn.Buffer(torch.zeros(width))  # the <cls> gene vector and its value
        self.flag = nn.Buffer(torch.zeros(width))  # stands for the value of a generated token
        self.plain = nn.Buffer(torch.zeros(width))  # flag of an unperturbed gene
        self.moved = nn.Buffer(torch.zeros(width))  # flag of the source
        self.scale = nn.Buffer(torch.ones(width))  # batch norm
        self.shift = nn.Buffer(torch.zeros(width))
        self.batch = nn.Buffer(torch.zeros(parts.batch_width))
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
