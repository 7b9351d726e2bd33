"""Graphs that were exported once in a test run are not exported again: two tracings cost half a minute and more.

The same backbone with the same weights, readout and baseline gives the same graph; all that `write_artifact` does
around the tracing, the comparison with autograd first, is done every time.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from ugrn.export.graph.probe import Probe

Export = Callable[[Probe, bool, Path], None]


def shared_exports(export: Export, folder: Path) -> Export:
    """An `export_onnx` that keeps its graphs in a folder of all workers."""
    folder.mkdir(exist_ok=True)

    def export_once(probe: Probe, tangent: bool, path: Path) -> None:
        kept = folder / f"{fingerprint(probe, tangent)}.onnx"
        with locked(kept.with_suffix(".lock")):
            if not kept.exists():
                export(probe, tangent, path)
                shutil.copyfile(path, kept.with_suffix(".part"))
                kept.with_suffix(".part").rename(kept)
                return
        shutil.copyfile(kept, path)

    return export_once


def fingerprint(probe: Probe, tangent: bool) -> str:
    """A digest of all that a graph depends on: classes, settings and tensors of every module."""
    digest = hashlib.sha256(repr((probe.readout, probe.baseline, tangent, len(probe.backbone.symbols))).encode())
    for name, module in cast(nn.Module, probe.backbone).named_modules():
        digest.update(f"{name}: {type(module).__module__}.{type(module).__qualname__}".encode())
        for key, value in sorted((vars(module) | module._parameters | module._buffers).items()):
            for part in _parts(key, value):
                digest.update(part)
    return digest.hexdigest()[:32]


def _parts(key: str, value: Any) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield f"{key} {value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().contiguous().numpy().tobytes()
    elif value is None or isinstance(value, int | float | str | tuple) or is_dataclass(value):
        yield f"{key} {value!r}".encode()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else is in a block with the same path, in this process or another."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
