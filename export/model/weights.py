"""Reading other people's checkpoints, strictly.

Every tensor of a checkpoint is taken by name and shape, or named as deliberately unused with a reason. What is
missing, of another shape, left over or not finite is an error that names it, because a loader that keeps what
happens to match gives random attention weights without a word.
"""

from __future__ import annotations

import fnmatch
import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.errors import InputError

SHOWN = 8


class Weights:
    """A state dict whose every key must be accounted for.

    Args:
        state: name -> tensor.
        path: of the checkpoint, for messages.
        family: of the backbone, for messages.

    Raises:
        InputError: an entry is no tensor, or not finite.
    """

    def __init__(self, state: Mapping[str, Any], path: Path, family: str) -> None:
        self.path = path
        self.family = family
        self._left = {key: _tensor(key, value, path) for key, value in state.items()}
        self.unused: dict[str, str] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def names(self, prefix: str) -> list[str]:
        """Keys that are left and begin so."""
        return [key for key in self._left if key.startswith(prefix)]

    def has(self, prefix: str) -> bool:
        """Whether any key that is left begins so."""
        return bool(self.names(prefix))

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of a tensor that is left.

        Raises:
            InputError: there is no such key.
        """
        self._require([key])
        return tuple(self._left[key].shape)

    def take(self, key: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """A tensor in float32, which must be there and have the shape.

        Raises:
            InputError: it is missing, of another shape, or holds NaN or infinite values.
        """
        self._require([key])
        tensor = self._left.pop(key)
        if shape is not None and tuple(tensor.shape) != shape:
            message = f"{self.path}: {key} has shape {list(tensor.shape)}, expected {list(shape)} for {self.family}"
            raise InputError(message)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            message = f"{self.path}: {key} holds NaN or infinite values; the checkpoint is damaged or diverged"
            raise InputError(message)
        return tensor.float() if tensor.is_floating_point() else tensor

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
                f"{_some(self._left)}; a model with other parts would be read wrongly"
            )
            raise InputError(message)
        return dict(sorted(self.unused.items()))

    def _require(self, keys: Iterable[str]) -> None:
        missing = [key for key in keys if key not in self._left]
        if missing:
            message = (
                f"{self.path}: {len(missing)} entries that a {self.family} checkpoint has are missing: "
                f"{_some(missing)}; is it of another family, or of a fine-tune with other parts?"
            )
            raise InputError(message)


def read_state(path: Path) -> dict[str, Any]:
    """The content of a ``.pt``, ``.pth``, ``.bin``, ``.ckpt`` or ``.safetensors`` file; nothing in it is executed.

    Raises:
        InputError: the file is missing, damaged, or a pickle that holds more than tensors and plain data.
    """
    if not path.is_file():
        message = f"{path}: no such file; expected the checkpoint's weights"
        raise InputError(message)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return cast(dict[str, Any], load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        message = (
            f"{path}: holds more than tensors and plain data, or is damaged, and was not loaded: a pickle can run "
            "code. Save its state_dict() alone with torch.save, or as safetensors"
        )
        raise InputError(message) from error
    except Exception as error:  # noqa: BLE001 - a damaged file makes torch and safetensors raise anything
        message = f"{path}: cannot be read ({_first_line(error)}); the file is truncated or damaged: copy it again"
        raise InputError(message) from error
    if not isinstance(loaded, dict):
        message = f"{path}: holds a {type(loaded).__name__}, expected a state dict (names and tensors)"
        raise InputError(message)
    return loaded


def checkpoint_metadata(
    family: str, options: Mapping[str, Any], files: Iterable[Path], weights: Weights, **more: str
) -> dict[str, Any]:
    """What the manifest records of a checkpoint that was read; see `Weights.finish` for what it raises."""
    metadata = {
        "family": family,
        **more,
        "options": dict(options),
        "files": {path.name: file_entry(path)["sha256"] for path in files},
        "unused": weights.finish(),
    }
    return {"checkpoint": metadata}


def find_file(folder: Path, names: Iterable[str]) -> Path:
    """The first of some files that a folder holds.

    Raises:
        InputError: the folder does not exist or has none of them.
    """
    names = list(names)
    if not folder.is_dir():
        message = f"{folder}: no such folder; expected a checkpoint folder with {' or '.join(names)}"
        raise InputError(message)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    there = sorted(path.name for path in folder.iterdir())[:SHOWN]
    message = f"{folder}: expected {' or '.join(names)}; found {', '.join(there) or 'an empty folder'}"
    raise InputError(message)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; a name that occurs twice in it is an error.

    Raises:
        InputError: the file is no JSON object, or has a name twice.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})[:SHOWN]
            message = f"{path}: these names occur more than once: {', '.join(twice)}"
            raise InputError(message)
        return found

    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=distinct)
    except (OSError, ValueError) as error:
        message = f"{path}: cannot be read as JSON ({error})"
        raise InputError(message) from error
    if not isinstance(data, dict):
        message = f"{path}: holds a {type(data).__name__}, expected a JSON object"
        raise InputError(message)
    return data


def read_vocabulary_ids(path: Path, append: Iterable[str] = ()) -> list[str]:
    """Tokens of a vocabulary (JSON, token -> id) in the order of their ids, with some appended where absent.

    Raises:
        InputError: ids are not 0 … n - 1, each once.
    """
    ids = read_json(path)
    for token in append:
        ids.setdefault(token, len(ids))
    by_id = {index: token for token, index in ids.items() if isinstance(index, int)}
    if sorted(by_id) != list(range(len(ids))):
        wrong = sorted(token for token, index in ids.items() if by_id.get(index) != token or not index < len(ids))
        message = (
            f"{path}: ids of {len(ids)} tokens must be 0 to {len(ids) - 1}, each once; "
            f"duplicate or out of range: {_some(wrong)}"
        )
        raise InputError(message)
    return [by_id[index] for index in range(len(ids))]


def number(metadata: Mapping[str, Any], key: str, path: Path) -> int:
    """A positive whole number of a configuration.

    Raises:
        InputError: it is missing or something else.
    """
    value = metadata.get(key)
    if not isinstance(value, int) or value <= 0:
        message = f"{path}: {key!r} is {value!r}, expected a positive whole number"
        raise InputError(message)
    return value


def _tensor(key: str, value: Any, path: Path) -> Tensor:
    if not isinstance(value, Tensor):
        message = f"{path}: entry {key!r} is a {type(value).__name__}, expected a tensor; is it a whole training state?"
        raise InputError(message)
    return value


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
