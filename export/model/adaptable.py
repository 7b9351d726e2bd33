"""The interface of a backbone that can be adapted: `Backbone`, a layer to stand behind, and tokens of the genes."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from ugrn.runtime.errors import InputError

from .base import Backbone

PARTS = ("last_layer", "gene_tokens")
LAYER_PARTS = ("after", "shrink")


class AdaptableBackbone(Backbone, Protocol):
    """A backbone behind whose last layer an adapter can stand (`ugrn.export.backbones.adapted`)."""

    @property
    def last_layer(self) -> nn.Module:
        """The layer before the adapter: a `PostNormLayer` or `PerformerLayer`, or one with their `after` and
        `shrink`."""

    def gene_tokens(self, genes: Tensor) -> Tensor:
        """Tokens of genes, int64 ``[N]``, whatever their values: ``[N, width]``."""


def adaptable(backbone: Backbone) -> AdaptableBackbone:
    """The same backbone, which has what an adapter needs.

    Raises:
        InputError: it has not.
    """
    lacking = [name for name in PARTS if not hasattr(backbone, name)]
    if not lacking:
        layer = cast(AdaptableBackbone, backbone).last_layer
        lacking = [f"last_layer.{name}" for name in LAYER_PARTS if not hasattr(layer, name)]
    if lacking:
        message = (
            f"{backbone.card.name} cannot be adapted: it has no {', '.join(lacking)}, which an adapter needs; see "
            "ugrn.export.model.adaptable"
        )
        raise InputError(message)
    return cast(AdaptableBackbone, backbone)


def adapter_widths(backbone: AdaptableBackbone) -> tuple[int, int]:
    """Width of the tokens behind the last layer, and width of the gene tokens."""
    width = cast(nn.Linear, backbone.last_layer.shrink).out_features
    return width, backbone.gene_tokens(torch.zeros(1, dtype=torch.int64)).shape[-1]
