"""Parts and sizes of a scGPT checkpoint, its options, and the card that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from ugrn.runtime.errors import InputError

from ...model.base import NO_PREDICTION, BackboneCard, Readout
from ...model.checkpoint_files import finite, positive, width_and_heads
from ...model.weights import Weights

LICENCE = "MIT (code); the authors state no licence for the weights"
NOT_IN_LOSS = "the prediction at a token that carries its value was never part of scGPT's loss"
NEVER_MASKED = "the mask value -1 does not occur in the training of generative checkpoints"
BINS = BackboneCard(
    name="scgpt",
    licence=LICENCE,
    units="expression bins of the cell: 1 (lowest) to 50 (highest) of its non-zero genes",
    scale="bins",
    baseline=25.0,
    vvp_levels=(1.0, 8.0, 15.0, 20.0, 30.0, 36.0, 43.0, 50.0),
    gdt_levels=(1.0, 8.0, 15.0, 22.0, 29.0, 36.0, 43.0, 50.0),
    readouts={},
)
LOGNORM = BackboneCard(
    name="scgpt",
    licence=LICENCE,
    units="ln(1 + 1e4 x / sum)",
    scale="ln-cp10k",
    baseline=1.0,
    vvp_levels=(0.0, 0.25, 0.5, 1.5, 2.0, 3.0, 4.0, 5.0),
    gdt_levels=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0),
    readouts={},
)


@dataclass(frozen=True)
class ScGPTOptions:
    """Choices that upstream leaves open.

    Attributes:
        cls_value: value of the ``<cls>`` token; None takes `pad_value` of generative checkpoints (-2 as
            released) and 0 of fine-tunes, as their training did.
        batch: batch label, of checkpoints with domain-specific batch norm or batch labels.
        zero_probability: multiply predictions by the probability of being non-zero, of checkpoints with
            zero logits; upstream samples it in its own predictions and leaves it out of its loss.
        perturbed: give the source the flag of a perturbed gene, of perturbation fine-tunes.
    """

    cls_value: float | None = None
    batch: int = 0
    zero_probability: bool = False
    perturbed: bool = False


@dataclass(frozen=True)
class Parts:
    """Parts of a checkpoint, and its sizes."""

    width: int
    heads: int
    feedforward: int
    layers: int
    batch_width: int
    cell_style: str | None
    zero: bool
    affine: bool
    generative: bool


def parts_of(weights: Weights, args: Mapping[str, Any], path: Path, options: ScGPTOptions) -> Parts:
    """Sizes from ``args.json``; parts from the keys that are there.

    Raises:
        InputError: the variant is not known here, or the sizes are not those of the weights.
    """
    style = args.get("input_emb_style", "continuous")
    pooled = args.get("cell_emb_style", "cls")
    if style != "continuous" or args.get("pre_norm") or pooled != "cls":
        message = (
            f"{path}: input_emb_style {style!r}, pre_norm {bool(args.get('pre_norm'))}, cell_emb_style {pooled!r}; "
            "only continuous value encoding with post-norm layers and a <cls> token, as released, can be probed"
        )
        raise InputError(message)
    width, heads = width_and_heads(args, "embsize", "nheads", path)
    zero = weights.has("decoder.zero_logit.") or weights.has("decoder.coeff_decoder.zero_logit.")
    if options.zero_probability and not zero:
        message = f"{weights.path}: zero-probability was asked for, but the checkpoint has no decoder.zero_logit"
        raise InputError(message)
    return Parts(
        width=width,
        heads=heads,
        feedforward=positive(args, "d_hid", path),
        layers=positive(args, "nlayers", path),
        batch_width=width if weights.has("batch_encoder.") else 0,
        cell_style=_cell_style(weights, width),
        zero=options.zero_probability,
        affine=weights.has("pert_encoder."),
        generative=weights.has("flag_encoder."),
    )


def _cell_style(weights: Weights, width: int) -> str | None:
    """Style of the MVC head; None where there is none."""
    if not weights.has("mvc_decoder."):
        return None
    if "mvc_decoder.W.weight" in weights:
        return "inner"
    return "concat" if weights.shape("mvc_decoder.fc1.weight")[1] == width + 64 else "sum"


def card_of(parts: Parts) -> BackboneCard:
    """The card of a checkpoint with these parts: what training reads decides which readouts come without a warning."""
    if parts.affine:
        return replace(LOGNORM, readouts={"token": "", "attn": NO_PREDICTION}, trained=(0.0, inf))
    offered: dict[Readout, str] = {"gen" if parts.generative else "masked": ""}
    if parts.cell_style is not None:
        offered["mvc"] = ""
    offered.setdefault("masked", NEVER_MASKED)
    offered |= {"token": NOT_IN_LOSS, "attn": NO_PREDICTION}
    return replace(BINS, readouts=offered, trained=(1.0 if parts.generative else 0.0, 50.0))


def cls_value(options: ScGPTOptions, args: Mapping[str, Any], parts: Parts, path: Path) -> float:
    """Value of the ``<cls>`` token; see `ScGPTOptions`.

    Raises:
        InputError: `pad_value` of ``args.json`` is no number.
    """
    if options.cls_value is not None:
        return options.cls_value
    return finite(args, "pad_value", path, -2.0) if parts.generative and not parts.affine else 0.0
