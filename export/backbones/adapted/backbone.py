"""A backbone with an adapter behind its last layer: it exports and is probed like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...model.adaptable import AdaptableBackbone
from ...model.base import BackboneCard, Readout, VirtualCells
from .graph_adapter import GraphAdapter

OTHER_READOUT = "the adapter was trained with the readout {}"


class AdaptedBackbone(nn.Module):
    """See the module's docstring.

    Args:
        backbone: what is adapted.
        adapter: its width is that of the backbone's last layer.
        structures: ``[V, s]`` of all genes, from `GraphAdapter.structures`; a finished table, so that an exported graph
            knows no network.
        readout: that the adapter was trained with.
    """

    def __init__(
        self, backbone: AdaptableBackbone, adapter: GraphAdapter, structures: Tensor, readout: Readout
    ) -> None:
        super().__init__()
        self.backbone = cast(Any, backbone)
        self.adapter = adapter
        self.table = nn.Buffer(structures)
        self.readout = readout
        self.symbols = backbone.symbols
        self.shape = backbone.shape

    @property
    def card(self) -> BackboneCard:
        """The backbone's, with the trained readout first and a warning at the others."""
        card = cast(BackboneCard, self.backbone.card)
        others = {
            name: note or OTHER_READOUT.format(self.readout)
            for name, note in card.readouts.items()
            if name != self.readout
        }
        return replace(card, readouts={self.readout: card.readouts[self.readout], **others})

    def predict(self, cells: VirtualCells, targets: Tensor, readout: Readout) -> Tensor:
        return predict_adapted(self.backbone, self.adapter, self.table.__getitem__, cells, targets, readout)


def predict_adapted(
    backbone: AdaptableBackbone,
    adapter: GraphAdapter,
    structures: Callable[[Tensor], Tensor],
    cells: VirtualCells,
    targets: Tensor,
    readout: Readout,
) -> Tensor:
    """Predictions of `backbone`, ``[R, Q]``, where the adapter stands behind its last layer.

    A cell's structures are those of its source and of its context; the context's slot of the source is hidden, as it is
    in the backbone.

    Args:
        structures: gene ids ``[N]`` to structures ``[N, s]``.
    """
    count, size = cells.count, cells.context.shape[0]
    source = structures(cells.sources).unsqueeze(1)  # [R, 1, s]
    context = structures(cells.context).unsqueeze(0).expand(count, size, source.shape[-1])
    seen = torch.zeros(count, 1, dtype=torch.bool, device=source.device)
    hidden = torch.cat([seen, cells.context_is_source], dim=1)  # [R, 1 + C]
    fuse = partial(adapter.fuse, structures=torch.cat([source, context], dim=1), hidden=hidden)
    with _behind(backbone.last_layer, fuse):
        return backbone.predict(cells, targets, readout)


@contextmanager
def _behind(layer: nn.Module, after: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Put something behind a layer for a while."""
    held = cast(Any, layer)
    held.after = after
    try:
        yield
    finally:
        held.after = None
