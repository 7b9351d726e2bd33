"""The interface of a backbone, and the data it exchanges with what probes it.

A backbone is an `nn.Module` that predicts the expression of target genes in virtual cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal, Protocol, cast

from numpy.typing import NDArray
from torch import Tensor

from ugrn.runtime.artifact.manifest import BackboneShape
from ugrn.runtime.errors import InputError

Readout = Literal["mvc", "gen", "masked", "token", "shift", "rank", "attn"]
NO_PREDICTION = "attention is no prediction; it serves the benchmark's Attn"


@dataclass(frozen=True)
class BackboneCard:
    """Facts and defaults of a backbone, for the manifest.

    Attributes:
        name: family name, e.g. ``mini``.
        licence: SPDX expression of the weights' licence.
        units: what a value of 1 means.
        scale: how cells become these units, one of `ugrn.runtime.engine.units.CONVERSIONS`.
        baseline: default v_b, in `units`.
        vvp_levels: default levels v_p of VVP, in `units`.
        gdt_levels: default levels at which GDT takes the gradient, in `units`.
        readouts: readouts that can be exported, the default first, each with a warning where pretraining did
            not train it, and else "".
        notice: what the user must be told once of the licence or the data, if anything.
        range: smallest and largest value the model can be given, and `range_note` says why.
        trained: smallest and largest value its training saw; values outside are possible, but `cautions` says so.
        predicts: what M_j is, where it is no expression in `units`.
        gradient: ``exact``, or ``surrogate`` where the forward pass is not differentiable in the value.
    """

    name: str
    licence: str
    units: str
    baseline: float
    vvp_levels: tuple[float, ...]
    gdt_levels: tuple[float, ...]
    readouts: Mapping[Readout, str]
    scale: str = ""
    gradient: Literal["exact", "surrogate"] = "exact"
    notice: str = ""
    range: tuple[float, float] = (-inf, inf)
    range_note: str = ""
    trained: tuple[float, float] = (-inf, inf)
    predicts: str = ""

    def offered(self, readout: str | None) -> Readout:
        """The readout of this name, or the default.

        Raises:
            InputError: the backbone has none of this name.
        """
        chosen = readout or next(iter(self.readouts))
        if chosen not in self.readouts:
            message = f"{self.name} has no readout {chosen!r}; expected one of {', '.join(self.readouts)}"
            raise InputError(message)
        return cast(Readout, chosen)

    def cautions(self, readout: Readout) -> list[str]:
        """Sentences that the user must know of this readout and these levels; often none."""
        found = [f"readout {readout!r}: {self.readouts[readout]}"] if self.readouts[readout] else []
        low, high = self.trained
        strange = sorted({v for v in (self.baseline, *self.vvp_levels, *self.gdt_levels) if not low <= v <= high})
        if strange:
            values = ", ".join(f"{value:g}" for value in strange)
            found.append(f"out of distribution: the values {values}; training saw {low:g} to {high:g} ({self.units})")
        return found


def with_levels(
    card: BackboneCard,
    baseline: float | None = None,
    vvp_levels: tuple[float, ...] | None = None,
    gdt_levels: tuple[float, ...] | None = None,
) -> BackboneCard:
    """A card with other virtual values where given.

    Raises:
        InputError: a value is outside the range the family can be given.
    """
    card = replace(
        card,
        baseline=card.baseline if baseline is None else baseline,
        vvp_levels=vvp_levels or card.vvp_levels,
        gdt_levels=gdt_levels or card.gdt_levels,
    )
    low, high = card.range
    wrong = [v for v in (card.baseline, *card.vvp_levels, *card.gdt_levels) if not low <= v <= high]
    if wrong:
        message = f"values {wrong} are outside {low:g} to {high:g}, what {card.name} can be given ({card.units})"
        message += f": {card.range_note}" if card.range_note else ""
        raise InputError(message)
    return card


@dataclass(frozen=True)
class Origin:
    """Names, licence and history of a backbone.

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


@dataclass(frozen=True)
class VirtualCells:
    """R virtual cells of one context that differ in their source and its value. C context genes.

    Attributes:
        context: int64 ``[C]``, distinct gene ids; may be empty.
        context_values: ``[C]``, in the backbone's units.
        sources: int64 ``[R]``. A source that is also in the context takes the place of its context gene.
        levels: ``[R]``, the sources' values; a `Dual` where the gradient is asked for.
        probed: int64 ``[S]``; row r is of source ``probed[r // K]``, its K levels one after the other.
        baseline: v_b, the value of targets outside the context.
    """

    context: Tensor
    context_values: Tensor
    sources: Tensor
    levels: Tensor
    probed: Tensor
    baseline: float

    @property
    def count(self) -> int:
        """R."""
        return self.sources.shape[0]

    @property
    def context_is_source(self) -> Tensor:
        """Bool ``[R, C]``: context genes whose place the row's source takes."""
        return self.context.unsqueeze(0) == self.sources.unsqueeze(1)

    @property
    def context_is_probed(self) -> Tensor:
        """Bool ``[S, C]``: the same, once per source."""
        return self.context.unsqueeze(0) == self.probed.unsqueeze(1)

    def target_is_source(self, targets: Tensor) -> Tensor:
        """Bool ``[R, Q]``."""
        return targets.unsqueeze(0) == self.sources.unsqueeze(1)

    def target_in_context(self, targets: Tensor) -> Tensor:
        """Bool ``[Q, C]``: the context gene that is the target, where there is one."""
        return targets.unsqueeze(1) == self.context.unsqueeze(0)

    def plain_values(self, targets: Tensor) -> Tensor:
        """``[Q]``: the value a target carries where it is not the source: its context value, or the baseline."""
        found = self.target_in_context(targets).to(self.context_values.dtype)  # [Q, C]
        return (found * self.context_values).sum(1) + (1.0 - found.sum(1)) * self.baseline


class Backbone(Protocol):
    """A frozen scFM that can be probed. V genes.

    `predict` is written for plain tensors; the gradient graph hands it `Dual` levels, which pass through every
    function that has a tangent rule (`ugrn.export.autodiff.tangent`). A transformer whose tokens are genes need not
    write it: `ugrn.export.model.streams.predict_streams` does, from the model's parts. What an adapter needs more is in
    `ugrn.export.model.adaptable`.
    """

    @property
    def card(self) -> BackboneCard:
        """Facts and defaults for the manifest."""

    @property
    def shape(self) -> BackboneShape:
        """Size, from which the runtime estimates memory."""

    @property
    def symbols(self) -> list[str]:
        """The V gene symbols; row = id."""

    def predict(self, cells: VirtualCells, targets: Tensor, readout: Readout) -> Tensor:
        """Predicted expression M_j of targets, int64 ``[Q]``, in R virtual cells: ``[R, Q]``.

        A target's prediction must not depend on which other targets are asked.
        """


@dataclass(frozen=True)
class Loaded:
    """A backbone read from a checkpoint.

    Attributes:
        backbone: in evaluation mode.
        origin: where it comes from.
        context: symbols fit for the reference context, best first, where the checkpoint ranks them.
        embeddings: ``[V, E]`` of the genes, whose products the translator may read; None where there are none.
    """

    backbone: Backbone
    origin: Origin
    context: Sequence[str] = ()
    embeddings: NDArray[Any] | None = None
