"""The backbone families that ``ugrn export`` reads, each with its loader and the options upstream leaves open."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

from ugrn.runtime.errors import InputError, UgrnError

from .backbones import geneformer, scbenchmark, scbert, scfoundation, scgpt
from .backbones.adapted.checkpoint import load_adapted
from .backbones.mini_checkpoint import load_checkpoint, origin_of
from .model.base import Loaded


@dataclass(frozen=True)
class MiniOptions:
    """The mini backbone leaves nothing open."""


@dataclass(frozen=True)
class AdaptedOptions:
    """An adapted backbone was read with options of its base family, which its folder records."""


@dataclass(frozen=True)
class Family:
    """How to read one family: a frozen dataclass of options and a loader of a checkpoint folder."""

    options: type
    load: Callable[[Path, Any], Loaded]


def _load_mini(folder: Path, options: MiniOptions) -> Loaded:
    checkpoint = load_checkpoint(folder)
    return Loaded(checkpoint.backbone, origin_of(checkpoint), checkpoint.context, checkpoint.embeddings)


def _load_adapted(folder: Path, options: AdaptedOptions) -> Loaded:
    return load_adapted(folder, load_backbone)


FAMILIES = {
    "mini": Family(MiniOptions, _load_mini),
    "scgpt": Family(scgpt.ScGPTOptions, scgpt.load),
    "scbenchmark": Family(scbenchmark.ScBenchmarkOptions, scbenchmark.load),
    "scfoundation": Family(scfoundation.ScFoundationOptions, scfoundation.load),
    "scbert": Family(scbert.ScBERTOptions, scbert.load),
    "geneformer": Family(geneformer.GeneformerOptions, geneformer.load),
    "adapted": Family(AdaptedOptions, _load_adapted),
}


def load_backbone(family: str, folder: Path, settings: Iterable[str] = ()) -> Loaded:
    """Read a checkpoint folder of a family.

    Args:
        family: a name in `FAMILIES`.
        folder: the checkpoint.
        settings: ``name=value`` for the family's options; dashes and underscores are the same.

    Raises:
        InputError: the family or an option is not known, a value does not fit, or the checkpoint cannot be read.
    """
    if family not in FAMILIES:
        message = f"backbone {family!r} is not known; expected one of {', '.join(FAMILIES)}"
        raise InputError(message)
    known = FAMILIES[family]
    options = known.options(**_parse(family, known.options, settings))
    try:
        return known.load(folder, options)
    except UgrnError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, OSError) as error:
        message = f"{folder}: a file of it is not what a {family} checkpoint holds ({type(error).__name__}: {error})"
        raise InputError(message) from error


def _parse(family: str, options: type, settings: Iterable[str]) -> dict[str, Any]:
    hints = typing.get_type_hints(options)
    names = [field.name for field in fields(options)]
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in names:
            listed = ", ".join(each.replace("_", "-") for each in names) or "none"
            message = f"--set {setting}: not an option of {family}; expected NAME=VALUE with NAME one of: {listed}"
            raise InputError(message)
        found[name] = _convert(setting, text.strip(), hints[name])
    return found


def _convert(setting: str, text: str, kind: Any) -> Any:
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    kind = next(each for each in kinds if each is not type(None))
    if kind is bool:
        truth = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower())
        if truth is not None:
            return truth
    else:
        try:
            value = kind(text)
            if kind is str or isfinite(value):
                return value
        except ValueError:
            pass
    message = f"--set {setting}: {text!r} is no {kind.__name__}"
    raise InputError(message)
