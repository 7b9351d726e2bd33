"""The traced module: virtual cells in front of a frozen backbone, read by every probe.

For every source, level and target it returns the predicted expression M_j and its exact derivative by the
source's value, dM_j/dv_i (UGRN, arXiv 2605.08128: VVP reads the first, GDT the second). One tangent pass
serves all targets at once.

Shapes: S sources, K levels, R = S*K virtual cells, C context genes, Q targets.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ugrn.runtime.arrays import Array, Ids

from ..autodiff.tangent import Dual, split
from ..model.base import Backbone, Readout, VirtualCells

INPUTS = ("context", "context_values", "sources", "levels", "targets")
OUTPUTS = ("value", "gradient")
Inputs = tuple[Ids, Array, Ids, Array, Ids]
"""Arrays of `INPUTS`, shaped ``[C]``, ``[C]``, ``[S]``, ``[S, K]`` and ``[Q]``."""


class ProbeGraph(nn.Module):
    """Virtual cells in, predictions (and their gradient) out.

    Args:
        backbone: a frozen backbone in evaluation mode.
        readout: where M_j is read; see `ugrn.export.model.streams.predict_streams`.
        baseline: v_b, the value of targets outside the context.
        tangent: also return the gradient.
    """

    def __init__(self, backbone: Backbone, readout: Readout, baseline: float, tangent: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.readout = readout
        self.baseline = baseline
        self.tangent = tangent

    def forward(
        self, context: Tensor, context_values: Tensor, sources: Tensor, levels: Tensor, targets: Tensor
    ) -> tuple[Tensor, ...]:
        """Probe every source at its levels and read every target.

        Args:
            context: int64 ``[C]``, distinct gene ids; may be empty.
            context_values: float ``[C]``.
            sources: int64 ``[S]``.
            levels: float ``[S, K]``, the values given to each source.
            targets: int64 ``[Q]``.

        Returns:
            ``(value,)``, or ``(value, gradient)`` with `tangent`; each ``[S, K, Q]``. A source that is also
            in the context takes the place of its context slot; a target equal to the source carries the level.
        """
        rows = sources.unsqueeze(1).expand(levels.shape).reshape(-1)  # [R]
        level = levels.reshape(-1)  # [R]
        if self.tangent:
            level = cast(Tensor, Dual(level, torch.ones_like(level)))
        cells = VirtualCells(context, context_values, rows, level, sources, self.baseline)
        value, gradient = split(self.backbone.predict(cells, targets, self.readout))
        shape = (*levels.shape, targets.shape[0])
        if not self.tangent:
            return (value.reshape(shape),)
        if gradient is None:
            gradient = torch.zeros_like(value)
        return value.reshape(shape), gradient.reshape(shape)


@dataclass(frozen=True)
class Probe:
    """A backbone to export, its readout and the baseline v_b."""

    backbone: Backbone
    readout: Readout
    baseline: float

    @property
    def genes(self) -> int:
        """Number of genes of the vocabulary."""
        return len(self.backbone.symbols)

    def module(self, tangent: bool, double: bool = False) -> ProbeGraph:
        """The module to trace, or a float64 copy of it."""
        backbone = self.backbone
        if double:
            backbone = cast(Backbone, copy.deepcopy(cast(nn.Module, backbone)).double())
        return ProbeGraph(backbone, self.readout, self.baseline, tangent).eval()


def random_inputs(
    genes: int,
    shape: tuple[int, int, int, int],
    rng: np.random.Generator,
    levels: tuple[float, float] = (-1.0, 1.0),
) -> Inputs:
    """Inputs of a given (S, K, C, Q): the first target is the first source, and where the context has
    genes, its first is the last source."""
    s, k, c, q = shape
    sources = rng.choice(genes, s, replace=False)
    context = rng.choice(np.setdiff1d(np.arange(genes), sources[-1:]), c, replace=False)
    context[:1] = sources[-1:]
    targets = rng.choice(np.setdiff1d(np.arange(genes), sources[:1]), q, replace=False)
    targets[:1] = sources[:1]
    values = rng.uniform(*levels, c).astype(np.float32)
    return context, values, sources, rng.uniform(*levels, (s, k)).astype(np.float32), targets


def to_tensors(inputs: Inputs) -> tuple[Tensor, ...]:
    """The same inputs, ``[C]``, ``[C]``, ``[S]``, ``[S, K]`` and ``[Q]``, for torch; their memory is shared."""
    return tuple(torch.from_numpy(array) for array in inputs)
