"""The probe as anyone would write it first: a joint forward pass of every token of every row through every layer.

No token is shared between rows and nothing is left out of the last layer; ``mvc`` is read from ``<cls>`` after it.
The layers and their weights are the backbone's own. It is the reference for value and speed of `ProbeGraph`, and what
reverse mode (the paper's way) and `torch.func.jvp` differentiate.

Shapes: S sources, K levels, R = S*K rows, C context genes, L = C + 2 tokens, Q targets, d width, h head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugrn.export.autodiff.tangent import Dual, split
from ugrn.export.graph.probe import Probe, ProbeGraph

HIDDEN = -1e30
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # as of `ProbeGraph.forward`


class PlainGraph(nn.Module):
    """The same inputs and outputs as `ProbeGraph`, readout ``mvc``."""

    def __init__(self, backbone: Any, tangent: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.tangent = tangent

    def forward(
        self, context: Tensor, context_values: Tensor, sources: Tensor, levels: Tensor, targets: Tensor
    ) -> tuple[Tensor, ...]:
        """``(value,)`` or ``(value, gradient)``, each ``[S, K, Q]``."""
        level: Any = levels.reshape(-1)
        if self.tangent:
            level = Dual(level, torch.ones_like(level))
        rows = sources.unsqueeze(1).expand(levels.shape).reshape(-1)  # [R]
        both = split(self._predict(context, context_values, rows, level, targets))
        shape = (*levels.shape, targets.shape[0])
        return tuple(cast(Tensor, each).reshape(shape) for each in both[: 1 + self.tangent])

    def _predict(self, context: Tensor, values: Tensor, rows: Tensor, level: Any, targets: Tensor) -> Any:
        model, count = self.backbone, rows.shape[0]
        source = model.embed(rows, level).unsqueeze(1)  # [R, 1, d]
        shared = torch.cat([model.cls_token().unsqueeze(0), model.embed(context, values)])  # [L - 1, d]
        tokens = torch.cat([source, shared.unsqueeze(0).expand(count, *shared.shape)], dim=1)  # [R, L, d]
        slots = context.unsqueeze(0) == rows.unsqueeze(1)  # [R, C]: the source has its own token
        seen = torch.zeros(count, 2, dtype=torch.bool)
        hidden = torch.cat([seen, slots], dim=1).unsqueeze(1).unsqueeze(1)  # [R, 1, 1, L]
        for layer, _ in model.layers("mvc"):
            q, k, v = layer.project(tokens)  # [R, H, L, h]
            scores = torch.matmul(q, k.transpose(-2, -1)) * (1.0 / math.sqrt(q.shape[-1]))
            weights = F.softmax(scores.masked_fill(hidden, HIDDEN), dim=-1)
            tokens = layer.merge(tokens, torch.matmul(weights, v))
        return model.decode_cell(tokens[:, 1], targets)


@dataclass(frozen=True)
class PlainProbe(Probe):
    """For `export_onnx`: the plain forward pass in place of the probe graph."""

    def module(self, tangent: bool, double: bool = False) -> ProbeGraph:
        return cast(ProbeGraph, PlainGraph(self.backbone, tangent).eval())


def by_jvp(plain: PlainGraph, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Value and gradient ``[S, K, Q]`` by `torch.func.jvp`; rows do not mix, so one direction serves all levels."""
    context, values, sources, levels, targets = inputs

    def value(levels: Tensor) -> Tensor:
        return cast(Tensor, plain(context, values, sources, levels, targets)[0])

    return cast(tuple[Tensor, Tensor], torch.func.jvp(value, (levels,), (torch.ones_like(levels),)))


def leaf_value(plain: PlainGraph, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """The levels as a leaf of the graph that reverse mode walks, and the value ``[S, K, Q]``."""
    context, values, sources, levels, targets = inputs
    leaf = levels.clone().requires_grad_()
    return leaf, plain(context, values, sources, leaf, targets)[0]


def backward(leaf: Tensor, value: Tensor) -> Tensor:
    """d value / d levels ``[S, K]`` of one pair at one level, the graph kept."""
    return torch.autograd.grad(value.sum(), leaf, retain_graph=True)[0]


def one_pair(inputs: Inputs, level: int, target: int) -> Inputs:
    """The inputs of the first source alone, at one level, with one target."""
    context, values, sources, levels, targets = inputs
    return context, values, sources[:1], levels[:1, level : level + 1], targets[target : target + 1]
