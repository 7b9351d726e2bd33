"""Context and query streams: how a transformer scFM reads any target without the targets seeing each other.

A row is a virtual cell: ``<cls>``, the source at one level, and the context genes at their values. Context
tokens attend to each other. Each target is a query token that attends to the context and to itself, so a
pair's score does not depend on the other pairs, the cost is linear in the targets, and any gene can be asked.
Masks keep it exact: a context slot equal to the source is hidden, and a query does not see the context slot of
its own gene. With the readout ``token`` and all targets in the context this equals the joint forward pass. With
``masked`` and ``gen`` the query of a context gene does not see that gene's value, but the other context tokens do:
an exact joint pass would hide it from them too, at one context pass per target.

Shapes: R rows, C context genes, L context tokens (2 + C, or 1 + C without ``<cls>``), Q targets, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, cast

import torch
from torch import Tensor

from .attention import attend_context, attend_query, query_weights
from .backbones.base import Readout, VirtualCells


class Layer(Protocol):
    """One transformer layer, split where attention happens."""

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens ``[..., N, d]`` to queries, keys and values, each ``[..., H, N, d/H]``."""

    def merge(self, x: Tensor, attended: Tensor) -> Tensor:
        """Tokens ``[..., N, d]`` and their attention result ``[..., H, N, d/H]`` to the layer's output."""


class StreamBackbone(Protocol):
    """The parts of a transformer scFM from which `predict_streams` predicts."""

    def layers(self, readout: Readout) -> Iterable[tuple[Layer, Layer]]:
        """The layers in order, each as applied to the context and as applied to the queries."""

    def embed(self, genes: Tensor, values: Tensor) -> Tensor:
        """Gene ids ``[...]`` and values ``[...]`` to tokens ``[..., d]``."""

    def embed_valueless(self, genes: Tensor, readout: Readout) -> Tensor:
        """Gene ids ``[...]`` to tokens ``[..., d]`` whose value is hidden (``masked``) or absent (``gen``)."""

    def cls_token(self) -> Tensor | None:
        """The ``<cls>`` token ``[d]``; None where the model knows none."""

    def decode(self, tokens: Tensor, values: Tensor) -> Tensor:
        """Query outputs ``[R, Q, d]`` and the values ``[R, Q]`` they carry to predicted expression ``[R, Q]``."""

    def decode_cell(self, cell: Tensor, targets: Tensor) -> Tensor:
        """``<cls>`` output ``[R, d]`` and gene ids ``[Q]`` to predicted expression ``[R, Q]`` (mvc)."""


def predict_streams(
    model: StreamBackbone,
    cells: VirtualCells,
    targets: Tensor,
    readout: Readout,
    embed_source: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Predicted expression ``[R, Q]``; see `Backbone.predict`.

    ``mvc`` reads the targets from ``<cls>`` and needs no queries. ``token`` reads a target at its own token,
    which carries its context value, the level where it is the source, and else the baseline. ``masked`` and
    ``gen`` read it at a token without a value. ``attn`` is no prediction: it is the attention that the target's token
    pays to the source's, the mean over layers and heads. `embed_source` is for models whose source token is embedded in
    a way of its own.
    """
    count = cells.count
    source = (embed_source or model.embed)(cells.sources, cells.levels).unsqueeze(1)  # [R, 1, d]
    cls = model.cls_token()
    first = [source] if cls is None else [cls.expand(count, 1, source.shape[-1]), source]
    genes = model.embed(cells.context, cells.context_values)
    genes = genes.expand(count, genes.shape[0], source.shape[-1])
    tokens = torch.cat([*first, genes], dim=1)  # [R, L, d]
    never = torch.zeros(count, len(first), dtype=torch.bool, device=cells.sources.device)
    hidden = torch.cat([never, cells.context_is_source], dim=1).unsqueeze(1).unsqueeze(1)  # [R, 1, 1, L]
    if readout == "mvc":
        out, _ = encode(model.layers(readout), tokens, hidden)
        return model.decode_cell(out[:, 0], targets)
    values = _target_values(cells, targets)
    queries = _queries(model, cells, source, targets, readout)
    paid: list[Tensor] = []
    _, answered = encode(
        model.layers(readout), tokens, hidden, queries, _query_hidden(cells, targets, hidden, len(first) - 1), paid
    )
    if readout == "attn":
        return torch.cat([weights[..., len(first) - 1].mean(1).unsqueeze(0) for weights in paid]).mean(0)
    return model.decode(cast(Tensor, answered), values)


def encode(
    layers: Iterable[tuple[Layer, Layer]],
    context: Tensor,
    context_hidden: Tensor | None = None,
    queries: Tensor | None = None,
    query_hidden: Tensor | None = None,
    paid: list[Tensor] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Run a backbone's layers over both streams.

    Args:
        layers: see `StreamBackbone.layers`.
        context: tokens ``[R, L, d]``.
        context_hidden: bool ``[R, 1, 1, L]``; context tokens nobody in the context may see.
        queries: tokens ``[R, Q, d]``, or None where only the context is read.
        query_hidden: bool ``[R, 1, Q, L]``; context tokens a query may not see.
        paid: receives every layer's `query_weights` ``[R, H, Q, L + 1]``.

    Returns:
        Output tokens of the context ``[R, L, d]`` and of the queries ``[R, Q, d]`` or None.
    """
    for layer, query_layer in layers:
        q, k, v = layer.project(context)
        if queries is not None:
            own_q, own_k, own_v = query_layer.project(queries)
            weights = query_weights(own_q, own_k, k, query_hidden)
            queries = query_layer.merge(queries, attend_query(weights, own_v, v))
            if paid is not None:
                paid.append(weights)
        context = layer.merge(context, attend_context(q, k, v, context_hidden))
    return context, queries


def _target_values(cells: VirtualCells, targets: Tensor) -> Tensor:
    """``[R, Q]``: the value every target carries."""
    plain = cells.plain_values(targets).unsqueeze(0)
    return torch.where(cells.target_is_source(targets), cells.levels.unsqueeze(1), plain)


def _queries(model: StreamBackbone, cells: VirtualCells, source: Tensor, targets: Tensor, readout: Readout) -> Tensor:
    """Query tokens ``[R, Q, d]``; with ``token`` and ``attn``, the source's own query is the source
    token."""
    if readout not in ("token", "attn"):
        plain = model.embed_valueless(targets, readout)  # [Q, d]
        return plain.expand(cells.count, targets.shape[0], plain.shape[-1])
    plain = model.embed(targets, cells.plain_values(targets))
    plain = plain.expand(cells.count, targets.shape[0], source.shape[-1])
    return torch.where(cells.target_is_source(targets).unsqueeze(-1), source, plain)


def _query_hidden(cells: VirtualCells, targets: Tensor, hidden: Tensor, before: int) -> Tensor:
    """Bool ``[R, 1, Q, L]``: hidden context tokens, and the slot of the query's own gene; `before` tokens (``<cls>``)
    come before the source's."""
    count, asked = cells.count, targets.shape[0]
    is_source = cells.target_is_source(targets).unsqueeze(-1)  # [R, Q, 1]
    is_context = cells.target_in_context(targets).expand(count, asked, cells.context.shape[0])
    never = torch.zeros(count, asked, before, dtype=torch.bool, device=targets.device)
    own = torch.cat([never, is_source, is_context], dim=2).unsqueeze(1)  # [R, 1, Q, L]
    return own | hidden
