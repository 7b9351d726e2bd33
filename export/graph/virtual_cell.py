"""The traced module: virtual cells in front of a frozen backbone, read by every probe.

For every source, level and target it returns the predicted expression M_j and its exact derivative by the
source's value, dM_j/dv_i (UGRN, arXiv 2605.08128: VVP reads the first, GDT the second). One tangent pass
serves all targets at once.

Shapes: S sources, K levels, R = S*K virtual cells, C context genes, Q targets.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..autodiff.tangent import Dual, split
from ..model.base import Backbone, Readout, VirtualCells


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
