"""A backbone family: how the checkpoints of one kind are read.

A package adds a family to ``ugrn export`` by an entry point of the group ``ugrn.backbones`` that names a `Family`. This
module imports no torch, so that families can be listed without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from .base import Loaded

Options = TypeVar("Options")


@dataclass(frozen=True)
class NoOptions:
    """Options of a family that leaves nothing open."""


@dataclass(frozen=True)
class Family(Generic[Options]):
    """Options and reader of the checkpoints of one family.

    Attributes:
        options: a frozen dataclass of what its users may choose: each a bool, int, float or str, or one of them and
            None, with a default; ``--set NAME=VALUE`` on the command line.
        load: reads a checkpoint folder, and raises `InputError` where a file is missing or damaged, or is not the
            family's.
    """

    options: type[Options]
    load: Callable[[Path, Options], Loaded]
