"""Files of a checkpoint folder: found, read, and their settings validated."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ugrn.runtime.errors import InputError

MOST_LISTED = 8


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
    there = sorted(path.name for path in folder.iterdir())[:MOST_LISTED]
    message = f"{folder}: expected {' or '.join(names)}; found {', '.join(there) or 'an empty folder'}"
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
            loaded = load_file(path)
        else:
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
    return named(loaded, path)


def named(value: Any, path: Path) -> dict[str, Any]:
    """A state dict, or another dictionary whose keys are text, of a file that was read.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, Mapping):
        message = f"{path}: holds a {type(value).__name__}, expected a state dict (names and tensors)"
        raise InputError(message)
    strange = [key for key in value if not isinstance(key, str)]
    if strange:
        message = f"{path}: holds the name {strange[0]!r}, which is no text; expected a state dict (names and tensors)"
        raise InputError(message)
    return dict(value)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; a name that occurs twice in it is an error.

    Raises:
        InputError: the file is no JSON object, or has a name twice.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})[:MOST_LISTED]
            message = f"{path}: these names occur more than once: {', '.join(twice)}"
            raise InputError(message)
        return found

    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=distinct)
    except (OSError, ValueError, RecursionError) as error:
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
        known = range(len(ids))
        wrong = sorted(token for token, index in ids.items() if index not in known or by_id.get(index) != token)
        message = (
            f"{path}: ids of {len(ids)} tokens must be 0 to {len(ids) - 1}, each once; "
            f"duplicate or out of range: {listed(wrong)}"
        )
        raise InputError(message)
    return [by_id[index] for index in range(len(ids))]


def positive(settings: Mapping[str, Any], key: str, path: Path) -> int:
    """A positive whole number of a configuration.

    Raises:
        InputError: it is missing or something else.
    """
    value = settings.get(key)
    if not isinstance(value, int) or value <= 0:
        message = f"{path}: {key!r} is {value!r}, expected a positive whole number"
        raise InputError(message)
    return value


def finite(settings: Mapping[str, Any], key: str, path: Path, default: float) -> float:
    """A number of a configuration.

    Raises:
        InputError: it is there and something else, or not finite.
    """
    value = settings.get(key, default)
    if not isinstance(value, int | float) or not isfinite(value):
        message = f"{path}: {key!r} is {value!r}, expected a number"
        raise InputError(message)
    return float(value)


def width_and_heads(settings: Mapping[str, Any], width_key: str, heads_key: str, path: Path) -> tuple[int, int]:
    """The width of a configuration and the heads that divide it.

    Raises:
        InputError: they do not, or as for `positive`.
    """
    width, heads = positive(settings, width_key, path), positive(settings, heads_key, path)
    if width % heads:
        message = f"{path}: {width_key} {width} is not a multiple of {heads_key} {heads}"
        raise InputError(message)
    return width, heads


def listed(names: Iterable[str]) -> str:
    """The first of some names, and the number of the others."""
    every = list(names)
    more = f" and {len(every) - MOST_LISTED} more" if len(every) > MOST_LISTED else ""
    return ", ".join(every[:MOST_LISTED]) + more


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
