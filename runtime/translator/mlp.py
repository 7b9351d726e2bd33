"""The perceptron of a translator, computed feature by feature.

The layout is ``[F, N]``, as the graph's outputs are, and goes through the layers in chunks that stay in a core's cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import Array

COLUMNS = 2048  # pairs at once: two layers of 32 units are 512 KiB


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron with tanh units over robustly scaled features.

    Attributes:
        centre, scale: ``[F]``; a feature x enters as asinh((x - centre) / scale), which tames heavy tails.
        weights: matrices ``[in, out]``, the last one ``[in, 1]``.
        biases: vectors ``[out]``.
    """

    centre: Array
    scale: Array
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def logits(self, features: Array) -> Array:
        """Features ``[N, F]`` to logits ``[N]``."""
        return self.logits_by_feature(np.ascontiguousarray(features.T))

    def logits_by_feature(self, features: Array) -> Array:
        """Features ``[F, N]`` to logits ``[N]``."""
        total = features.shape[1]
        out = np.empty(total, np.float32)
        units = [np.empty((len(bias), min(COLUMNS, total)), np.float32) for bias in self.biases[:-1]]
        for first in range(0, total, COLUMNS):
            columns = slice(first, first + COLUMNS)
            x = np.subtract(
                features[:, columns], self.centre[:, None], order="C"
            )  # [F, n], the same bits in any layout
            np.divide(x, self.scale[:, None], out=x)
            np.arcsinh(x, out=x)
            for weight, bias, unit in zip(self.weights[:-1], self.biases[:-1], units, strict=True):
                hidden = unit[:, : x.shape[1]]  # [out, n]
                np.matmul(weight.T, x, out=hidden)
                hidden += bias[:, None]
                x = np.tanh(hidden, out=hidden)
            np.matmul(self.weights[-1][:, 0], x, out=out[columns])
        out += self.biases[-1][0]
        return out
