"""What a backbone must offer to be probed.

A backbone is an `nn.Module` whose parts the virtual cell puts together. It is written for plain tensors;
the tangent graph calls the same code with `Dual` numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from ugrn.runtime.artifact import BackboneShape

Readout = Literal["token", "masked", "mvc"]


@dataclass(frozen=True)
class BackboneCard:
    """What the manifest says of a backbone.

    Attributes:
        name: family name, e.g. ``mini``.
        licence: SPDX expression of the weights' licence.
        units: what a value of 1 means.
        baseline: default v_b, in `units`.
        vvp_levels: default levels v_p of VVP, in `units`.
        gdt_levels: default levels at which GDT takes the gradient, in `units`.
        readouts: readouts that pretraining trained, the default first.
        gradient: ``exact``, or ``surrogate`` where the forward pass is not differentiable in the value.
    """

    name: str
    licence: str
    units: str
    baseline: float
    vvp_levels: tuple[float, ...]
    gdt_levels: tuple[float, ...]
    readouts: tuple[Readout, ...]
    gradient: Literal["exact", "surrogate"] = "exact"


@dataclass(frozen=True)
class Origin:
    """Where a backbone comes from.

    Attributes:
        aliases: other name of a gene -> its symbol in the vocabulary.
        licence: SPDX expression of the weights' licence; the backbone family's where empty.
        licence_text: its text.
        provenance: facts for manifest and model card.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    licence_text: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


class Layer(Protocol):
    """One transformer layer, split where attention happens."""

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens ``[..., N, d]`` to queries, keys and values, each ``[..., H, N, d/H]``."""

    def merge(self, x: Tensor, attended: Tensor) -> Tensor:
        """Tokens ``[..., N, d]`` and their attention result ``[..., H, N, d/H]`` to the layer's output."""


class Backbone(Protocol):
    """The parts of a frozen scFM. V genes, width d."""

    @property
    def card(self) -> BackboneCard:
        """Facts and defaults for the manifest."""

    @property
    def shape(self) -> BackboneShape:
        """Size, from which the runtime estimates memory."""

    @property
    def symbols(self) -> list[str]:
        """The V gene symbols; row = id."""

    @property
    def layers(self) -> Iterable[Layer]:
        """The transformer layers in order."""

    def embed(self, genes: Tensor, values: Tensor) -> Tensor:
        """Gene ids ``[...]`` and values ``[...]`` (in `card.units`) to tokens ``[..., d]``."""

    def embed_masked(self, genes: Tensor) -> Tensor:
        """Gene ids ``[...]`` to tokens ``[..., d]`` whose value is masked."""

    def cls_token(self) -> Tensor:
        """The ``<cls>`` token ``[d]``."""

    def decode(self, tokens: Tensor) -> Tensor:
        """Token outputs ``[..., d]`` to predicted expression ``[...]``."""

    def decode_cell(self, cell: Tensor, targets: Tensor) -> Tensor:
        """``<cls>`` output ``[R, d]`` and gene ids ``[Q]`` to predicted expression ``[R, Q]`` (mvc)."""
