"""Reading other people's checkpoints, strictly.

Every tensor of a checkpoint is taken by name and shape, or named as deliberately unused with a reason. What is
missing, of another shape, left over or not finite is an error that names it, because a loader that keeps what
happens to match gives random attention weights without a word.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.errors import InputError

from .checkpoint_files import listed, named


class Weights:
    """A state dict whose every key must be accounted for.

    Args:
        state: name -> tensor, as read from a file and not yet validated.
        path: of the checkpoint, for messages.
        family: of the backbone, for messages.

    Raises:
        InputError: it is no dictionary of names and tensors.
    """

    def __init__(self, state: Any, path: Path, family: str) -> None:
        self.path = path
        self.family = family
        self._left = {key: _tensor(key, value, path) for key, value in named(state, path).items()}
        self.unused: dict[str, str] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def names(self, prefix: str) -> list[str]:
        """Keys that are left and begin so."""
        return [key for key in self._left if key.startswith(prefix)]

    def has(self, prefix: str) -> bool:
        """True where any key that is left begins so."""
        return bool(self.names(prefix))

    def shape(self, key: str) -> tuple[int, int]:
        """Shape of a matrix that is left.

        Raises:
            InputError: there is no such key, or it is no matrix.
        """
        self._require([key])
        shape = self._left[key].shape
        if len(shape) != 2 or 0 in shape:
            message = f"{self.path}: {key} has shape {list(shape)}, expected 2 dimensions for {self.family}"
            raise InputError(message)
        return shape[0], shape[1]

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse tensors that are missing or of other shapes, before a model of these sizes is made.

        Raises:
            InputError: one of them is.
        """
        self._require(shapes)
        for key, shape in shapes.items():
            if tuple(self._left[key].shape) != shape:
                found = list(self._left[key].shape)
                message = f"{self.path}: {key} has shape {found}, expected {list(shape)} for {self.family}"
                raise InputError(message)

    def take(self, key: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor in float32, which must be there and have the shape: ``[*shape]``.

        Raises:
            InputError: it is missing, of another shape, or holds NaN or infinite values.
        """
        self.check({key: shape})
        tensor = self._left.pop(key)
        if not tensor.is_floating_point():
            return tensor
        tensor = tensor.float()
        if not bool(torch.isfinite(tensor).all()):
            message = f"{self.path}: {key} holds NaN or infinite values; the checkpoint is damaged or diverged"
            raise InputError(message)
        return tensor

    def fill(self, module: nn.Module, names: Mapping[str, str]) -> None:
        """Copy tensors into parameters and buffers of a module: its name -> the checkpoint's key.

        A name that stands for a submodule fills all its parameters and buffers, whose names follow the key.

        Raises:
            InputError: as for `take`, naming all missing keys.
        """
        wanted: dict[str, str] = {}
        own = dict(module.state_dict(keep_vars=True))
        for name, key in names.items():
            inside = [each for each in own if each == name or each.startswith(f"{name}.")]
            wanted.update({each: key + each.removeprefix(name) for each in inside})
        self._require(wanted.values())
        with torch.no_grad():
            for name, key in wanted.items():
                own[name].copy_(self.take(key, tuple(own[name].shape)))

    def ignore(self, pattern: str, reason: str) -> None:
        """Name the keys that match (shell wildcards) as deliberately unused."""
        for key in fnmatch.filter(list(self._left), pattern):
            del self._left[key]
            self.unused[key] = reason

    def finish(self) -> dict[str, str]:
        """The unused keys, each with its reason.

        Raises:
            InputError: keys are left that nobody took or ignored.
        """
        if self._left:
            message = (
                f"{self.path}: {len(self._left)} entries are not part of a {self.family} checkpoint as known here: "
                f"{listed(self._left)}; a model with other parts would be read wrongly"
            )
            raise InputError(message)
        return dict(sorted(self.unused.items()))

    def _require(self, keys: Iterable[str]) -> None:
        missing = [key for key in keys if key not in self._left]
        if missing:
            message = (
                f"{self.path}: {len(missing)} entries that a {self.family} checkpoint has are missing: "
                f"{listed(missing)}; is it of another family, or of a fine-tune with other parts?"
            )
            raise InputError(message)


def checkpoint_metadata(
    family: str, options: Mapping[str, Any], files: Iterable[Path], weights: Weights, **more: str
) -> dict[str, Any]:
    """The manifest's record of a checkpoint that was read; raises as `Weights.finish`."""
    metadata = {
        "family": family,
        **more,
        "options": dict(options),
        "files": {path.name: file_entry(path)["sha256"] for path in files},
        "unused": weights.finish(),
    }
    return {"checkpoint": metadata}


def _tensor(key: str, value: Any, path: Path) -> Tensor:
    if not isinstance(value, Tensor):
        message = f"{path}: entry {key!r} is a {type(value).__name__}, expected a tensor; is it a whole training state?"
        raise InputError(message)
    if value.layout is not torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
        message = f"{path}: entry {key!r} is a tensor of another kind ({value.dtype}, {value.layout}), expected numbers"
        raise InputError(message)
    return value
