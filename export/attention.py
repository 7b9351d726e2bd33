"""Attention of the virtual cell: a context stream and a query stream.

Context tokens (``<cls>``, the source, the context genes) attend to each other. A query token attends to the
context and to itself, never to another query, so what is read at one target cannot depend on which other
targets are asked. Both functions are ordinary tensor code and run on `ugrn.export.tangent.Dual` as well.

Shapes: R rows (one per source and level), H heads, L context tokens, Q queries, h head width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def attend_context(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
    """Softmax attention among the context tokens.

    Args:
        q, k, v: ``[R, H, L, h]``.
        hidden: bool, broadcastable to ``[R, H, L, L]``; True where a key must not be seen.

    Returns:
        ``[R, H, L, h]``.
    """
    scores = torch.matmul(q, k.transpose(-2, -1)) * (1.0 / math.sqrt(q.shape[-1]))  # [R, H, L, L]
    if hidden is not None:
        scores = scores.masked_fill(hidden, -math.inf)
    return torch.matmul(F.softmax(scores, dim=-1), v)


def query_weights(q: Tensor, own_k: Tensor, k: Tensor, hidden: Tensor | None) -> Tensor:
    """Softmax attention weights of each query over the context and itself.

    Args:
        q, own_k: ``[R, H, Q, h]``, of the query tokens.
        k: ``[R, H, L, h]``, of the context tokens.
        hidden: bool, broadcastable to ``[R, H, Q, L]``; True where a context token must not be seen.

    Returns:
        ``[R, H, Q, L + 1]``, the query's own weight last.
    """
    scale = 1.0 / math.sqrt(q.shape[-1])
    to_context = torch.matmul(q, k.transpose(-2, -1)) * scale  # [R, H, Q, L]
    if hidden is not None:
        to_context = to_context.masked_fill(hidden, -math.inf)
    to_self = (q * own_k).sum(-1, keepdim=True) * scale  # [R, H, Q, 1]
    return F.softmax(torch.cat([to_context, to_self], dim=-1), dim=-1)


def attend_query(weights: Tensor, own_v: Tensor, v: Tensor) -> Tensor:
    """What the queries take with `query_weights` from values of their own ``[R, H, Q, h]`` and of the context
    ``[R, H, L, h]``: ``[R, H, Q, h]``."""
    return torch.matmul(weights[..., :-1], v) + weights[..., -1:] * own_v
