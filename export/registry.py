"""Backbone families by name: those of the installed packages, and adapted backbones, whose base is of one of them.

A package offers a family by an entry point of the group ``ugrn.backbones`` that names a `Family`. Only the module of
the family that is read is imported: families can be listed without torch, and a package that is broken breaks none but
its own.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugrn.runtime.errors import InputError

from .model.family import Family, NoOptions

if TYPE_CHECKING:
    from .model.base import Loaded

GROUP = "ugrn.backbones"
ADAPTED = "adapted"
OURS = "ugrn"


def families() -> dict[str, list[str]]:
    """Names of the families, sorted, and the packages that offer each: more than one where they are in conflict."""
    offers = {ADAPTED: [OURS]}
    for entry in entry_points(group=GROUP):
        offers.setdefault(entry.name, []).append(_package(entry))
    return dict(sorted(offers.items()))


def load_backbone(family: str, folder: Path, settings: Iterable[str] = ()) -> Loaded:
    """Read a checkpoint folder of a family.

    Args:
        family: one of `families`.
        folder: the checkpoint.
        settings: ``name=value`` for the family's options; dashes and underscores are the same.

    Raises:
        InputError: the family or an option is not known, a value does not fit, the package that offers the family is
            broken, or the checkpoint cannot be read.
    """
    offers = families()
    if family not in offers:
        message = f"backbone {family!r} is not known; expected one of {', '.join(offers)}"
        raise InputError(message)
    if len(offers[family]) > 1:
        message = f"backbone {family!r} is offered by {' and '.join(offers[family])}; uninstall all of them but one"
        raise InputError(message)
    if family == ADAPTED:
        _parse(family, NoOptions, settings)
        return _load_adapted(folder)
    [entry] = entry_points(group=GROUP, name=family)
    known = _family(entry)
    return known.load(folder, known.options(**_parse(family, known.options, settings)))


def _load_adapted(folder: Path) -> Loaded:
    # Imported here, because it needs torch.
    from .backbones.adapted.checkpoint import attach, read_adapted

    adapted = read_adapted(folder)
    return attach(adapted, load_backbone(adapted.family, adapted.base, adapted.settings))


def _family(entry: EntryPoint) -> Family[Any]:
    """The family that an entry point names.

    Raises:
        InputError: it cannot be imported from somebody else's package, or is no family.
    """
    try:
        family = entry.load()
    except Exception as error:  # noqa: BLE001 - importing somebody else's package may raise anything
        if _package(entry) == OURS:
            raise
        raise InputError(_broken(entry, f"it cannot be imported ({type(error).__name__}: {error})")) from error
    if not isinstance(family, Family):
        raise InputError(_broken(entry, f"it is a {type(family).__name__}, expected a ugrn.export.model.family.Family"))
    return family


def _broken(entry: EntryPoint, reason: str) -> str:
    return (
        f"backbone {entry.name!r}: the package {_package(entry)} offers {entry.value}, but {reason}; upgrade or "
        "uninstall that package"
    )


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown package"


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
            if kind is not float or isfinite(value):
                return value
        except ValueError:
            pass
    message = f"--set {setting}: {text!r} is no {kind.__name__}"
    raise InputError(message)
