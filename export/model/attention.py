"""Attention of the virtual cell: a context stream and a query stream.

Context tokens (the source, ``<cls>``, the context genes) attend to each other. A query token attends to the
context and to itself, never to another query, so what is read at one target cannot depend on which other
targets are asked.

Plain tensors run through torch; where one is a `Dual`, the tangent of the whole attention is written out. With
scores S, weights P = softmax(S) and O = P V it is dO = (P * dS) V - rowsum(P * dS) O + P dV: one product over the
weights where the rules of `ugrn.export.autodiff.tangent`, applied one by one, make five passes over them.

Shapes: R rows (one per source and level), S sources, H heads, L context tokens, B of them shared by all rows,
Q queries, h head width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autodiff.tangent import Dual, split

WIDE = 64  # of a head's width: from here on heads attend one by one, so that one's scores stay in the cache
HIDDEN = -1e30  # finite, so that a row that may see nothing stays a number


def attend_context(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
    """Softmax attention among the context tokens.

    Args:
        q: ``[R, H, N, h]``, of the tokens that are read on: all, or some.
        k, v: ``[R, H, L, h]``.
        hidden: bool ``[R, 1, 1, L]``; True where a key must not be seen.

    Returns:
        ``[R, H, N, h]``.
    """
    if q.shape[-1] < WIDE:
        return _attend(q, k, v, hidden)
    heads = [slice(head, head + 1) for head in range(q.shape[1])]
    return torch.cat([_attend(q[:, head], k[:, head], v[:, head], hidden) for head in heads], dim=1)


def _attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
    """`attend_context` of all heads at once."""
    (qv, qt), (kv, kt), (vv, vt) = split(q), split(k), split(v)
    weights = F.softmax(_scores(*_masking(qv, kv, hidden), qv.shape[-1]), dim=-1)
    slope = _scores_tangent(qv, qt, kv, kt)
    if vt is None:
        value, parts = torch.matmul(weights, vv), []
    else:
        value, carried = torch.matmul(weights, torch.cat([vv, vt], dim=-1)).chunk(2, dim=-1)
        parts = [carried]
    if slope is not None:
        flow = weights * slope
        parts += [torch.matmul(flow, vv), -flow.sum(-1, keepdim=True) * value]
    return value if not parts else Dual(value, sum(parts[1:], parts[0]))  # type: ignore[return-value]


def attend_few(q: Tensor, tokens: Tensor, hidden: Tensor | None, width: int) -> Tensor:
    """Softmax attention of a few queries to tokens that are their own keys and values.

    Args:
        q: ``[R, N, d]``, of whatever heads.
        tokens: ``[R, L, d]``.
        hidden: bool ``[R, 1, L]``; True where a token must not be seen.
        width: of the heads, by whose root scores are divided.

    Returns:
        ``[R, N, d]``.
    """
    scores = _masked(_scores(q, tokens, width), hidden)
    return torch.matmul(F.softmax(scores, dim=-1), tokens)


def attend_shared(q: Tensor, k: Tensor, v: Tensor, own_k: Tensor, own_v: Tensor, hidden: Tensor | None) -> Tensor:
    """Attention of tokens that all rows share, to each other and to the one token of each row's own.

    Among themselves they attend once per source, whatever its levels. The row's own key joins their softmax as
    w = sigmoid(own score - logsumexp of the shared scores), so that O = (1 - w) O_shared + w v_own.

    Args:
        q, k, v: plain ``[1, H, B, h]``, of the shared tokens.
        own_k, own_v: ``[R, H, 1, h]``, of each row's own token.
        hidden: bool ``[S, 1, 1, B]``; rows of a source stand together.

    Returns:
        ``[R, H, B, h]``.
    """
    if k.shape[2] == 0:
        return own_v[:, :, :0]
    scores = _masked(_scores(q, k), hidden)  # [S, H, B, B]
    weights = F.softmax(scores, dim=-1)
    among = torch.matmul(weights, v).unsqueeze(1)  # [S, 1, H, B, h]
    # The largest weight is exp(largest score - logsumexp): no exponential of every score once more.
    total = scores.amax(-1, keepdim=True) - torch.log(weights.amax(-1, keepdim=True))  # logsumexp [S, H, B, 1]
    own = _scores(q, own_k)  # [R, H, B, 1]
    each = among.shape[0], own.shape[0] // among.shape[0]  # S, K
    own = own.reshape(*each, *own.shape[1:])  # [S, K, H, B, 1]
    weight = torch.sigmoid(own - total.unsqueeze(1))
    own_v = own_v.reshape(*each, *own_v.shape[1:])
    mixed = among + weight * (own_v - among)  # [S, K, H, B, h]
    return mixed.reshape(own_k.shape[0], *mixed.shape[2:])


def query_weights(q: Tensor, own_k: Tensor, k: Tensor, hidden: Tensor | None) -> Tensor:
    """Softmax attention weights of each query over the context and itself.

    Args:
        q, own_k: ``[R, H, Q, h]``, of the query tokens.
        k: ``[R, H, L, h]``, of the context tokens.
        hidden: bool, broadcastable to ``[R, H, Q, L]``; True where a context token must not be seen.

    Returns:
        ``[R, H, Q, L + 1]``, the query's own weight last.
    """
    to_context = _masked(_scores(q, k), hidden)  # [R, H, Q, L]
    to_self = (q * own_k).sum(-1, keepdim=True) * (1.0 / math.sqrt(q.shape[-1]))
    to_self = to_self.expand(*to_context.shape[:-1], 1)  # [R, H, Q, 1]; one row's queries may serve all rows
    return F.softmax(torch.cat([to_context, to_self], dim=-1), dim=-1)


def attend_query(weights: Tensor, own_v: Tensor, v: Tensor) -> Tensor:
    """Sums over `query_weights` of the queries' own values ``[R, H, Q, h]`` and the context's ``[R, H, L, h]``:
    ``[R, H, Q, h]``."""
    return torch.matmul(weights[..., :-1], v) + weights[..., -1:] * own_v


def _scores(q: Tensor, k: Tensor, width: int | None = None) -> Tensor:
    return torch.matmul(q, k.transpose(-2, -1)) * (1.0 / math.sqrt(width or q.shape[-1]))


def _scores_tangent(q: Tensor, q_tangent: Tensor | None, k: Tensor, k_tangent: Tensor | None) -> Tensor | None:
    if q_tangent is not None and k_tangent is not None:  # both terms of the product rule in one matrix product
        return _scores(torch.cat([q_tangent, q], dim=-1), torch.cat([k, k_tangent], dim=-1), q.shape[-1])
    if q_tangent is not None:
        return _scores(q_tangent, k)
    return None if k_tangent is None else _scores(q, k_tangent)


# A mask goes on in two ways. One that all queries share costs least as one more column of queries and keys: no pass
# over the scores. It must be added to the scores where each query has its own (`query_weights`), where scores are
# computed once and masked for every source (`attend_shared`: the product would be done again for each), and where
# there are fewer queries than a token is wide (`attend_few`: copying tokens costs more than a pass over the scores).


def _masking(q: Tensor, k: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
    """Queries and keys with one column more, by which a hidden key's score is put out of reach.

    Shapes as in `attend_context`.
    """
    if hidden is None:
        return q, k
    column = _cost(hidden, k.dtype).transpose(-2, -1)  # [R, 1, L, 1]
    ones = torch.ones((), dtype=q.dtype, device=q.device).expand(*q.shape[:-1], 1)
    return torch.cat([q, ones], dim=-1), torch.cat([k, column.expand(*k.shape[:-1], 1)], dim=-1)


def _masked(scores: Tensor, hidden: Tensor | None) -> Tensor:
    """Scores plus the cost of hidden keys: a sum, which runtimes do faster than a choice."""
    return scores if hidden is None else scores + _cost(hidden, scores.dtype)


def _cost(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """``HIDDEN`` where a key is hidden, else 0."""
    return torch.where(hidden, HIDDEN, 0.0).to(dtype)
