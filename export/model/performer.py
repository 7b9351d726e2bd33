"""Performer layers (Choromanski et al. 2021, arXiv 2009.14794): attention linear in the tokens, over a whole genome.

The random features of the softmax kernel are part of a checkpoint. The keys' stabiliser, in the originals one
maximum over the whole batch, is taken per row here, so that a row's output does not depend on the others; with
one row it is the original. Written for plain tensors and `Dual` numbers alike.

Shapes: R rows, N tokens, d width, H heads, h head width, M random features, Q read or asked tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import join_heads, split_heads
from .weights import Weights

EPS = 1e-4


class Keys(NamedTuple):
    """Sums over a stream of tokens, for its queries, and the stabiliser of its keys."""

    total: Tensor  # [R, H, 1, M], features summed over the tokens
    product: Tensor  # [R, H, M, h], features times values, summed over the tokens
    features: Tensor  # [R, H, N, M]
    values: Tensor  # [R, H, N, h]
    stabiliser: Tensor  # [R, 1, 1, 1]


class PerformerLayer(nn.Module):
    """x = x + attention(LN(x)); x = x + W2 gelu(W1 LN(x)); then `after`, as in `PostNormLayer`."""

    after: Callable[[Tensor], Tensor] | None = None

    def __init__(
        self, width: int, heads: int, head_width: int, features: int, feedforward: int, qkv_bias: bool
    ) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.norm1 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=qkv_bias)
        self.to_k = nn.Linear(width, inner, bias=qkv_bias)
        self.to_v = nn.Linear(width, inner, bias=qkv_bias)
        self.projection = nn.Buffer(torch.zeros(features, head_width))  # [M, h]
        self.out = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feedforward)
        self.shrink = nn.Linear(feedforward, width)

    def forward(self, x: Tensor, read: Tensor | None = None) -> Tensor:
        """Tokens ``[R, N, d]`` to ``[R, N, d]``, or only those at places `read`, int64 ``[Q]``: ``[R, Q, d]``."""
        normal = self.norm1(x)
        keys = self._keys(normal)
        if read is not None:
            x, normal = x[:, read], normal[:, read]
        return self._feed(x, self._attend(self._query(normal), keys))

    def ask(self, x: Tensor, queries: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Context tokens ``[R, N, d]``, and query tokens ``[R, Q, d]`` that take the place of tokens `own` ``[Q]``.

        A query attends to itself and to every context token but its own; nobody attends to queries.
        """
        normal, asked = self.norm1(x), self.norm1(queries)
        keys = self._keys(normal)
        context = self._feed(x, self._attend(self._query(normal), keys))
        raw = split_heads(self.to_k(asked), self.heads)
        key = self._kernel(raw, self._project(raw), keys.stabiliser)  # [R, H, Q, M]
        value, query = split_heads(self.to_v(asked), self.heads), self._query(asked)
        gone, here = (query * keys.features[:, :, own]).sum(-1, keepdim=True), (query * key).sum(-1, keepdim=True)
        above = torch.matmul(query, keys.product) - gone * keys.values[:, :, own] + here * value
        below = (query * keys.total).sum(-1, keepdim=True) - gone + here
        return context, self._feed(queries, above / below)

    def _feed(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out(join_heads(attended))
        x = cast(Tensor, x + self.shrink(F.gelu(self.expand(self.norm2(x)))))
        return x if self.after is None else self.after(x)

    def _keys(self, normal: Tensor) -> Keys:
        raw = split_heads(self.to_k(normal), self.heads)
        projected = self._project(raw)
        stabiliser = torch.amax(projected, (1, 2, 3), keepdim=True)
        features = self._kernel(raw, projected, stabiliser)
        values = split_heads(self.to_v(normal), self.heads)
        product = torch.matmul(features.transpose(-2, -1), values)
        return Keys(features.sum(-2, keepdim=True), product, features, values, stabiliser)

    def _attend(self, query: Tensor, keys: Keys) -> Tensor:
        return torch.matmul(query, keys.product) / (query * keys.total).sum(-1, keepdim=True)

    def _query(self, normal: Tensor) -> Tensor:
        raw = split_heads(self.to_q(normal), self.heads)
        projected = self._project(raw)
        return self._kernel(raw, projected, torch.amax(projected, -1, keepdim=True))

    def _project(self, raw: Tensor) -> Tensor:
        """``[R, H, N, h]`` to ``[R, H, N, M]``."""
        return torch.matmul(raw, self.projection.transpose(0, 1) * raw.shape[-1] ** -0.25)

    def _kernel(self, raw: Tensor, projected: Tensor, stabiliser: Tensor) -> Tensor:
        """Positive features of the softmax kernel; upstream adds EPS after the exponential."""
        length = (raw * raw).sum(-1, keepdim=True) * (0.5 * raw.shape[-1] ** -0.5)
        scale = float(self.projection.shape[0]) ** -0.5
        return cast(Tensor, (torch.exp(projected - length - stabiliser) + EPS) * scale)


def fill_performer(layer: PerformerLayer, weights: Weights, prefix: str) -> None:
    """Fill a layer from a checkpoint of the performer-pytorch layout, e.g. `prefix` ``performer.net.layers.0.``."""
    attention, feed = f"{prefix}0.fn.", f"{prefix}1.fn.fn."
    names = {"norm1": f"{prefix}0.norm", "norm2": f"{prefix}1.norm", "out": f"{attention}to_out"}
    names |= {name: attention + name for name in ("to_q", "to_k", "to_v")}
    names |= {"projection": f"{attention}fast_attention.projection_matrix"}
    weights.fill(layer, names | {"expand": f"{feed}w1", "shrink": f"{feed}w2"})
