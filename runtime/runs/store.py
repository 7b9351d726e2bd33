"""The folder of a run, ``<output>.run``: an HDF5 shard for every finished block, and the input of the blocks.

A shard is written to a temporary file, synced and renamed, because an HDF5 file killed while open is usually
unreadable. A run that was killed resumes with the missing shards and ends with the same bytes. One process at a time
holds the folder: the lock is the kernel's, who takes it back however the process ends.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, TextIO

import h5py
from numpy.typing import NDArray

from ..errors import InputError
from ..files.atomic import replace_with

try:
    import fcntl
except ImportError:  # Windows: its locks are others, and two runs of one output are the user's to avoid
    fcntl = None  # type: ignore[assignment]

FINGERPRINT, LOCK = "fingerprint", "lock"
OURS = re.compile(r"\.?(fingerprint|lock|pairs\.h5|part-\d+\.h5|results\.f32)(\.tmp)?")
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # file systems without locks, as some of clusters

Arrays = Mapping[str, NDArray[Any]]


class Shards(Protocol):
    """The results of finished blocks by the block's number: a `RunFolder` or, in memory, a dict."""

    def __contains__(self, index: object, /) -> bool: ...

    def __getitem__(self, index: int, /) -> Arrays: ...

    def __setitem__(self, index: int, arrays: Arrays, /) -> None: ...


class RunFolder:
    """The folder of one run, held by this process from ``with`` to its end; the shards are its items.

    Args:
        output: the result file; the folder lies beside it.

    Attributes:
        resumed: number of blocks that an earlier run had finished, as of `start`.
        started_over: True where the folder held an unfinished run of other settings or another list.

    Raises:
        InputError: another process holds the folder, or something that is no run of ours bears its name.
    """

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(output.name + ".run")
        self.resumed = 0
        self.started_over = False
        self._finished: set[int] = set()
        self._lock: TextIO | None = None

    def __enter__(self) -> Self:
        _refuse_foreign(self.path)
        self._lock = _acquire(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def start(self, fingerprint: str, inputs: Mapping[str, Callable[[Path], object]]) -> None:
        """Keep an earlier run's shards where its fingerprint is the same, else start anew.

        Args:
            fingerprint: hash of all that decides the bytes.
            inputs: files that the blocks are computed from, each with its writer.
        """
        mark = self.path / FINGERPRINT
        same = mark.is_file() and mark.read_bytes() == fingerprint.encode()
        self.started_over = mark.is_file() and not same
        if same and all(_readable(self.path / name) for name in inputs):
            shards = self.path.glob("part-*.h5")
            self._finished = {int(path.stem.removeprefix("part-")) for path in shards if _readable(path)}
            self.resumed = len(self._finished)
            return
        self._clear()
        for name, write in inputs.items():
            replace_with(self.path / name, write)
        replace_with(mark, lambda part: part.write_text(fingerprint))

    def __contains__(self, index: object) -> bool:
        return index in self._finished

    def __getitem__(self, index: int) -> Arrays:
        with h5py.File(self._shard(index)) as file:
            return {name: file[name][:] for name in file}

    def __setitem__(self, index: int, arrays: Arrays) -> None:
        replace_with(self._shard(index), partial(_write_arrays, arrays))
        self._finished.add(index)

    def remove(self) -> None:
        """Delete the folder, the lock last: who comes then and finds none makes a new one."""
        self._clear()
        (self.path / LOCK).unlink(missing_ok=True)
        with suppress(OSError):  # the next run may have moved in already
            self.path.rmdir()

    def _shard(self, index: int) -> Path:
        return self.path / f"part-{index:05d}.h5"

    def _clear(self) -> None:
        """Delete all but the lock, the fingerprint first: without it, the rest is no run to resume."""
        (self.path / FINGERPRINT).unlink(missing_ok=True)
        for path in self.path.iterdir():
            if path.name != LOCK and OURS.fullmatch(path.name):
                path.unlink()


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds files which are not ours.

    Raises:
        InputError: naming it.
    """
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        names = {folder.name}
    if not all(OURS.fullmatch(name) for name in names):
        message = f"{folder}: is in the way and was not made by ugrn; move it, or choose another name with -o"
        raise InputError(message)


def _acquire(folder: Path) -> TextIO | None:
    """Make a folder and lock it; the open lock file, which holds this process's id.

    Raises:
        InputError: another process holds it.
    """
    while True:
        folder.mkdir(exist_ok=True)
        if fcntl is None:
            return None
        path = folder / LOCK
        try:
            file = path.open("a+", encoding="ascii")
        except FileNotFoundError:  # the run before has just ended and deleted its folder
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            message = (
                f"{folder}: in use by another run to the same output, process {file.read() or 'unknown'}; wait until "
                "it ends, or choose another name with -o"
            )
            file.close()
            raise InputError(message) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                file.close()
                raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
                return file
        file.close()  # the run before has deleted this file between our opening and locking it


def _readable(path: Path) -> bool:
    """True where an HDF5 file is there and whole; one torn by a power cut is computed again."""
    try:
        with h5py.File(path) as file:
            file.visititems(lambda _, node: node[()] if isinstance(node, h5py.Dataset) else None)
    except OSError:
        return False
    return True


def _write_arrays(arrays: Arrays, path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, fletcher32=True)
