"""The transformer layer that most scFMs share, and small parts of their heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend_few

Activation = Callable[[Tensor], Tensor]


class PostNormLayer(nn.Module):
    """x = LN(x + out(attention(x))); x = LN(x + feedforward(x)) (Vaswani et al. 2017, arXiv 1706.03762).

    The rows of `qkv` are the queries, the keys and the values; heads are contiguous blocks of width / heads.

    Attributes:
        after: what its output goes through, where something was added to the layer (`ugrn.export.adapter`).
    """

    after: Activation | None = None

    def __init__(
        self, width: int, heads: int, feedforward: int, activation: Activation = torch.relu, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.heads = heads
        self.activation = activation
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.expand = nn.Linear(width, feedforward)
        self.shrink = nn.Linear(feedforward, width)
        self.norm2 = nn.LayerNorm(width, eps=eps)

    def queries(self, x: Tensor) -> Tensor:
        return self._part(x, 0, biased=True)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``[..., H, N, d/H]``; the keys without their bias, which adds the same to all scores of a
        query, which softmax does not see."""
        return self._part(x, 1, biased=False), self._part(x, 2, biased=True)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.queries(x), *self.keys_values(x)

    def _part(self, x: Tensor, part: int, biased: bool) -> Tensor:
        return split_heads(F.linear(x, self._weight(part), self._bias(part) if biased else None), self.heads)

    def _weight(self, part: int) -> Tensor:
        """``[d, d]``, of the queries, the keys or the values."""
        return self.qkv.weight[self._rows(part)]

    def _bias(self, part: int) -> Tensor:
        return self.qkv.bias[self._rows(part)]

    def _rows(self, part: int) -> slice:
        width = self.qkv.in_features
        return slice(part * width, (part + 1) * width)

    def attend_few(self, x: Tensor, tokens: Tensor, hidden: Tensor | None) -> Tensor:
        """Attention of a few tokens to all, for which no keys and values of all have to be computed.

        A score is q . (K t) = (K'q) . t, and the values' sum is V times the sum of tokens.

        Args:
            x: ``[R, n, d]``.
            tokens: ``[R, N, d]``.
            hidden: bool ``[R, 1, 1, N]``; True where a token must not be seen.

        Returns:
            ``[R, H, n, d/H]``.
        """
        rows, few, width = x.shape
        keys, values = (self._weight(part).reshape(self.heads, width // self.heads, width) for part in (1, 2))
        asked = torch.matmul(self.queries(x), keys)  # [R, H, n, d]
        unseen = None if hidden is None else hidden.squeeze(1)
        taken = attend_few(asked.reshape(rows, self.heads * few, width), tokens, unseen, width // self.heads)
        bias = self._bias(2).reshape(self.heads, 1, width // self.heads)
        return torch.matmul(taken.reshape(rows, self.heads, few, width), values.transpose(-2, -1)) + bias

    def merge(self, x: Tensor, attended: Tensor) -> Tensor:
        return self.feed(x, self.out(join_heads(attended)))

    def feed(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer after attention: ``[..., N, d]`` each."""
        x = self.norm1(x + attended)
        x = cast(Tensor, self.norm2(x + self.shrink(self.activation(self.expand(x)))))
        return x if self.after is None else self.after(x)


def stock_names(prefix: str) -> dict[str, str]:
    """Parts of a `PostNormLayer` -> keys of torch's own encoder layer, for `Weights.fill`."""
    own = {"qkv.weight": "self_attn.in_proj_weight", "qkv.bias": "self_attn.in_proj_bias", "out": "self_attn.out_proj"}
    own |= {"expand": "linear1", "shrink": "linear2", "norm1": "norm1", "norm2": "norm2"}
    return {name: prefix + key for name, key in own.items()}


def split_heads(x: Tensor, heads: int) -> Tensor:
    """``[..., N, d]`` to ``[..., H, N, d/H]``."""
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads).transpose(-3, -2)


def join_heads(x: Tensor) -> Tensor:
    """``[..., H, N, h]`` to ``[..., N, H*h]``."""
    x = x.transpose(-3, -2)
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def interpolated(table: Tensor, places: Tensor, last: int) -> Tensor:
    """Rows of a table ``[N, d]`` at places ``[...]`` between whole ones, the largest `last`: ``[..., d]``."""
    below = torch.clamp(torch.floor(places.detach()), 0, last - 1)
    at = below.long()
    return table[at] + (places - below).unsqueeze(-1) * (table[at + 1] - table[at])


def leaky_mlp(width_in: int, width: int, out: int = 1) -> nn.Sequential:
    """Three linear layers with LeakyReLU(0.01) between: the expression decoder of scGPT and scBenchmark."""
    return nn.Sequential(
        nn.Linear(width_in, width), nn.LeakyReLU(), nn.Linear(width, width), nn.LeakyReLU(), nn.Linear(width, out)
    )
