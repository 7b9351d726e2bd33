"""Context and query streams: how a transformer scFM reads any target without the targets seeing each other.

A row is a virtual cell: the source at one level, ``<cls>``, and the context genes at their values. Context
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
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from .attention import attend_context, attend_query, attend_shared, query_weights
from .base import Readout, VirtualCells


class QueryLayer(Protocol):
    """One transformer layer as applied to queries, split where attention happens."""

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens ``[..., N, d]`` to queries, keys and values, each ``[..., H, N, d/H]``."""

    def merge(self, x: Tensor, attended: Tensor) -> Tensor:
        """Tokens ``[..., N, d]`` and their attention result ``[..., H, N, d/H]`` to the layer's output."""


class Layer(QueryLayer, Protocol):
    """One transformer layer as applied to the context, of which not all tokens may be read on."""

    def queries(self, x: Tensor) -> Tensor:
        """The first part of `project`: ``[..., H, N, d/H]``."""

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The other parts of `project`: ``[..., H, N, d/H]`` each."""

    def attend_few(self, x: Tensor, tokens: Tensor, hidden: Tensor | None) -> Tensor:
        """Attention of tokens ``[R, n, d]``, few of all ``[R, N, d]``, to these: ``[R, H, n, d/H]``."""


ALL = slice(None)
Layers = Iterable[tuple[Layer, QueryLayer]]


def alike(stack: Iterable[nn.Module]) -> Layers:
    """Layers that treat context and queries in the same way."""
    layers = [cast(Layer, layer) for layer in stack]
    return list(zip(layers, layers, strict=True))


@dataclass(frozen=True)
class Context:
    """The context tokens of R rows: each row's own, then those that all rows share.

    Where tokens are shared, the first layer projects them once for all rows, and lets them attend to each other once
    per source; and only the row's own token, which must then be the only one, has a tangent there.

    Attributes:
        own: ``[R, A, d]``.
        hidden: bool ``[R, 1, 1, A + B]``; tokens nobody in the context may see.
        hidden_once: bool ``[S, 1, 1, B]``; the same of the shared tokens, once per source.
        shared: ``[1, B, d]``; None where the rows share none.
    """

    own: Tensor
    hidden: Tensor | None = None
    hidden_once: Tensor | None = None
    shared: Tensor | None = None


class StreamBackbone(Protocol):
    """The parts of a transformer scFM from which `predict_streams` predicts."""

    def layers(self, readout: Readout) -> Layers:
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
    source = (embed_source or model.embed)(cells.sources, cells.levels).unsqueeze(1)  # [R, 1, d]
    cls = model.cls_token()
    genes = model.embed(cells.context, cells.context_values)
    shared = genes if cls is None else torch.cat([cls.unsqueeze(0), genes])
    first = 0 if cls is None else 1
    hidden, once = hide(cells.context_is_source, 1 + first), hide(cells.context_is_probed, first)
    context = Context(source, hidden, once, shared.unsqueeze(0))
    if readout == "mvc":
        cell, _ = encode(model.layers(readout), context, slice(1, 2))
        return model.decode_cell(cast(Tensor, cell).squeeze(1), targets)
    queries = _queries(model, cells, source, targets, readout)
    paid: list[Tensor] = []
    query_hidden = _query_hidden(cells, targets, hidden, first)
    _, answered = encode(model.layers(readout), context, None, queries, query_hidden, paid)
    if readout == "attn":
        return torch.cat([weights[..., 0].mean(1).unsqueeze(0) for weights in paid]).mean(0)
    return model.decode(cast(Tensor, answered), _target_values(cells, targets))


def encode(
    layers: Layers,
    context: Context,
    read: slice | None,
    queries: Tensor | None = None,
    query_hidden: Tensor | None = None,
    paid: list[Tensor] | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """Run a backbone's layers over both streams. The last layer computes only what is read.

    Args:
        layers: see `StreamBackbone.layers`.
        context: its L tokens.
        read: which of them are read after the last layer, `ALL` or a few; None where only the queries are.
        queries: tokens ``[R, Q, d]``, or ``[1, Q, d]`` where all rows ask the same; None where only the context is
            read.
        query_hidden: bool ``[R, 1, Q, L]``; context tokens a query may not see.
        paid: receives every layer's `query_weights` ``[R, H, Q, L + 1]``.

    Returns:
        Output tokens of the context ``[R, read, d]`` and of the queries ``[R, Q, d]``; None where not asked for.
    """
    tokens: Tensor | None = context.own
    steps = list(layers)
    for place, (layer, query_layer) in enumerate(steps):
        wanted = ALL if place + 1 < len(steps) else read
        if wanted not in (None, ALL) and queries is None and place > 0:
            few = cast(Tensor, tokens)[:, wanted]
            return layer.merge(few, layer.attend_few(few, cast(Tensor, tokens), context.hidden)), None
        if context.shared is not None and place == 0:
            k, v, tokens = _first_layer(layer, context, context.shared, wanted)
        else:
            k, v, tokens = _layer(layer, cast(Tensor, tokens), context.hidden, wanted)
        if queries is not None:
            own_q, own_k, own_v = query_layer.project(queries)
            weights = query_weights(own_q, own_k, k, query_hidden)
            queries = query_layer.merge(queries, attend_query(weights, own_v, v))
            if paid is not None:
                paid.append(weights)
    return tokens, queries


def hide(slots: Tensor, before: int) -> Tensor:
    """Bool ``[N, C]``, context slots that are hidden, to ``[N, 1, 1, before + C]``: those before them are seen."""
    never = torch.zeros(slots.shape[0], before, dtype=torch.bool, device=slots.device)
    return torch.cat([never, slots], dim=1).unsqueeze(1).unsqueeze(1)


Step = tuple[Tensor, Tensor, Tensor | None]  # keys and values of all tokens, and the next layer's tokens


def _layer(layer: Layer, tokens: Tensor, hidden: Tensor | None, read: slice | None) -> Step:
    k, v = layer.keys_values(tokens)
    if read is None:
        return k, v, None
    tokens = tokens[:, read]
    return k, v, layer.merge(tokens, attend_context(layer.queries(tokens), k, v, hidden))


def _first_layer(layer: Layer, context: Context, shared: Tensor, read: slice | None) -> Step:
    """See `Context`. A row's own token attends to the shared ones and to itself, as a query does."""
    own_q, own_k, own_v = layer.project(context.own)
    q, k, v = layer.project(shared)
    count = context.own.shape[0]
    every = [torch.cat([a, b.expand(count, *b.shape[1:])], dim=2) for a, b in ((own_k, k), (own_v, v))]
    if read is None:
        return every[0], every[1], None
    seen = None if context.hidden is None else context.hidden[..., 1:]
    own = layer.merge(context.own, attend_query(query_weights(own_q, own_k, k, seen), own_v, v))
    rest = layer.merge(shared, attend_shared(q, k, v, own_k, own_v, context.hidden_once))
    return every[0], every[1], torch.cat([own, rest], dim=1)[:, read]


def _target_values(cells: VirtualCells, targets: Tensor) -> Tensor:
    """``[R, Q]``: the value every target carries."""
    plain = cells.plain_values(targets).unsqueeze(0)
    return torch.where(cells.target_is_source(targets), cells.levels.unsqueeze(1), plain)


def _queries(model: StreamBackbone, cells: VirtualCells, source: Tensor, targets: Tensor, readout: Readout) -> Tensor:
    """Query tokens ``[R, Q, d]``, or ``[1, Q, d]``; with ``token`` and ``attn``, the source's own query is the source
    token."""
    if readout not in ("token", "attn"):
        return model.embed_valueless(targets, readout).unsqueeze(0)  # every row asks the same
    plain = model.embed(targets, cells.plain_values(targets))
    plain = plain.expand(cells.count, targets.shape[0], source.shape[-1])
    return torch.where(cells.target_is_source(targets).unsqueeze(-1), source, plain)


def _query_hidden(cells: VirtualCells, targets: Tensor, hidden: Tensor, between: int) -> Tensor:
    """Bool ``[R, 1, Q, L]``: hidden context tokens, and the slot of the query's own gene; `between` tokens (``<cls>``)
    stand between the source's and the context's."""
    count, asked = cells.count, targets.shape[0]
    is_source = cells.target_is_source(targets).unsqueeze(-1)  # [R, Q, 1]
    is_context = cells.target_in_context(targets).expand(count, asked, cells.context.shape[0])
    never = torch.zeros(count, asked, between, dtype=torch.bool, device=targets.device)
    own = torch.cat([is_source, never, is_context], dim=2).unsqueeze(1)  # [R, 1, Q, L]
    return own | hidden
