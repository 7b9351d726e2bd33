"""The virtual cell in front of a frozen backbone: the one graph that every probe runs.

A row of the graph is a virtual cell: ``<cls>``, the source at one level, and the context genes at their
values. `ProbeGraph` returns, for every source, level and target, the predicted expression M_j and its exact
derivative by the source's value, dM_j/dv_i (UGRN, arXiv 2605.08128: VVP reads the first, GDT the second).
One tangent pass serves all targets at once.

Shapes: S sources, K levels, R = S*K rows, C context genes, L = 2 + C context tokens, Q targets, d width.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .attention import attend_context, attend_query
from .backbones.base import Backbone, Readout
from .tangent import Dual, split


def encode(
    backbone: Backbone,
    context: Tensor,
    context_hidden: Tensor | None = None,
    queries: Tensor | None = None,
    query_hidden: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Run the backbone's layers over both streams.

    Args:
        backbone: gives the layers.
        context: tokens ``[R, L, d]``.
        context_hidden: bool ``[R, 1, 1, L]``; context tokens nobody in the context may see.
        queries: tokens ``[R, Q, d]``, or None where only the context is read.
        query_hidden: bool ``[R, 1, Q, L]``; context tokens a query may not see.

    Returns:
        Output tokens of the context ``[R, L, d]`` and of the queries ``[R, Q, d]`` or None.
    """
    for layer in backbone.layers:
        q, k, v = layer.project(context)
        if queries is not None:
            own_q, own_k, own_v = layer.project(queries)
            queries = layer.merge(queries, attend_query(own_q, own_k, own_v, k, v, query_hidden))
        context = layer.merge(context, attend_context(q, k, v, context_hidden))
    return context, queries


class ProbeGraph(nn.Module):
    """The traced module: virtual cells in, predictions (and their gradient) out.

    Args:
        backbone: a frozen backbone in evaluation mode.
        readout: where M_j is read. ``mvc``: from ``<cls>``; ``token``: at j's own token carrying its
            context value, or the baseline where j is not in the context; ``masked``: at j's masked token.
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
        source = self.backbone.embed(rows, level).unsqueeze(1)  # [R, 1, d]
        tokens, hidden = self._context(context, context_values, rows, source)
        if self.readout == "mvc":
            out, _ = encode(self.backbone, tokens, hidden)
            read = self.backbone.decode_cell(out[:, 0], targets)  # [R, Q]
        else:
            queries = self._queries(context, context_values, rows, source, targets)
            sees_not = self._query_hidden(context, rows, targets, hidden)
            _, answered = encode(self.backbone, tokens, hidden, queries, sees_not)
            read = self.backbone.decode(cast(Tensor, answered))  # [R, Q]
        value, gradient = split(read)
        shape = (*levels.shape, targets.shape[0])
        if not self.tangent:
            return (value.reshape(shape),)
        return value.reshape(shape), cast(Tensor, gradient).reshape(shape)

    def _context(self, context: Tensor, context_values: Tensor, rows: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Context tokens ``[R, L, d]`` and which of them are hidden, bool ``[R, 1, 1, L]``."""
        count, width = rows.shape[0], source.shape[-1]
        cls = self.backbone.cls_token().expand(count, 1, width)
        genes = self.backbone.embed(context, context_values).expand(count, context.shape[0], width)
        is_source = context.unsqueeze(0) == rows.unsqueeze(1)  # [R, C]
        never = torch.zeros(count, 2, dtype=torch.bool, device=rows.device)
        hidden = torch.cat([never, is_source], dim=1).unsqueeze(1).unsqueeze(1)
        return torch.cat([cls, source, genes], dim=1), hidden

    def _queries(
        self, context: Tensor, context_values: Tensor, rows: Tensor, source: Tensor, targets: Tensor
    ) -> Tensor:
        """Query tokens ``[R, Q, d]``; the source's own query is the source token."""
        if self.readout == "masked":
            plain = self.backbone.embed_masked(targets)  # [Q, d]
            return plain.expand(rows.shape[0], targets.shape[0], plain.shape[-1])
        in_context = (targets.unsqueeze(1) == context.unsqueeze(0)).to(context_values.dtype)  # [Q, C]
        values = (in_context * context_values).sum(1) + (1.0 - in_context.sum(1)) * self.baseline
        plain = self.backbone.embed(targets, values).expand(rows.shape[0], targets.shape[0], source.shape[-1])
        is_source = (targets.unsqueeze(0) == rows.unsqueeze(1)).unsqueeze(-1)  # [R, Q, 1]
        return torch.where(is_source, source, plain)

    def _query_hidden(self, context: Tensor, rows: Tensor, targets: Tensor, hidden: Tensor) -> Tensor:
        """Bool ``[R, 1, Q, L]``: hidden context tokens, and the slot of the query's own gene."""
        count, asked = rows.shape[0], targets.shape[0]
        is_source = (targets.unsqueeze(0) == rows.unsqueeze(1)).unsqueeze(-1)  # [R, Q, 1]
        is_context = (targets.unsqueeze(1) == context.unsqueeze(0)).expand(count, asked, context.shape[0])
        never = torch.zeros(count, asked, 1, dtype=torch.bool, device=rows.device)
        own = torch.cat([never, is_source, is_context], dim=2).unsqueeze(1)  # [R, 1, Q, L]
        return own | hidden
