"""A file run: a folder ``<output>.run`` with the pair batches and one HDF5 shard per finished block.

A shard is written to a temporary file, synced and renamed, because an HDF5 file killed while open is usually
unreadable. A run that was killed resumes at the first missing shard and ends with the same bytes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .formats import ResultTable, rejects_path, replace_with
from .genes import GeneNames
from .pairs import ResolvedPairs, write_pair_batches
from .probe import MOST_SOURCES, plan_blocks

MARK, PAIRS = "fingerprint", "pairs.h5"
OURS = re.compile(r"\.?(fingerprint|pairs\.h5|part-\d+\.h5|results\.f32)(\.tmp)?")

Report = Callable[[int, int], None]
Score = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]]


class FileRun:
    """The folder of one file run: pair batches, and a shard for every finished block.

    Args:
        resolved: the pairs.
        output: the result file; the folder lies beside it.
        fingerprint: hash of all that decides the bytes; a folder with another one is started anew.
    """

    def __init__(self, resolved: ResolvedPairs, output: Path, fingerprint: str) -> None:
        self.resolved = resolved
        self.folder = output.with_name(output.name + ".run")
        self.shards: list[Path] = []
        self.resumed = 0
        mark = self.folder / MARK
        if not (mark.is_file() and mark.read_text() == fingerprint and _readable(self.folder / PAIRS)):
            self.remove()
            self.folder.mkdir()
            replace_with(self.folder / PAIRS, partial(write_pair_batches, resolved))
            replace_with(mark, lambda part: part.write_text(fingerprint))

    def finish_blocks(self, score: Score, report: Report) -> None:
        """Compute the blocks of the pair batches that have no shard yet."""
        with h5py.File(self.folder / PAIRS) as file:
            ids, indptr = file["genes/id"][:], file["sources/indptr"][:]
            total = int(indptr[-1])
            for index, (first, last) in enumerate(plan_blocks(indptr, MOST_SOURCES)):
                self.shards.append(self.folder / f"part-{index:05d}.h5")
                if _readable(self.shards[-1]):
                    self.resumed += 1
                else:
                    source, target, row = (file[f"pairs/{name}"][first:last] for name in ("source", "target", "row"))
                    replace_with(self.shards[-1], partial(_write_shard, row, score(ids[source], ids[target])))
                report(last, total)

    def table(self, columns: list[str]) -> ResultTable:
        """All shards in the user's order, on disk."""
        shape = (len(self.resolved.pairs), len(columns))
        path = self.folder / "results.f32"
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # a full disk is an error here, not a crash in the middle
                os.posix_fallocate(file.fileno(), 0, 4 * shape[0] * shape[1])
        results = np.memmap(path, np.float32, "w+", shape=shape)
        for shard in self.shards:
            with h5py.File(shard) as file:
                results[file["row"][:]] = file["result"][:]
        return ResultTable(self.resolved.pairs, self.resolved.accepted_rows(), results, columns)

    def remove(self) -> None:
        """Delete the folder, the fingerprint first: without it, what is left is no run to resume.

        Raises:
            InputError: something that is no run of ours bears the folder's name.
        """
        if not self.folder.exists():
            return
        names = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else {""}
        if not all(OURS.fullmatch(name) for name in names):
            message = f"{self.folder}: is in the way and was not made by ugrn; move it, or choose another name with -o"
            raise InputError(message)
        (self.folder / MARK).unlink(missing_ok=True)
        shutil.rmtree(self.folder)


def _readable(path: Path) -> bool:
    """Whether an HDF5 file is there and whole; one torn by a power cut is computed again."""
    try:
        with h5py.File(path) as file:
            file.visititems(lambda _, node: node[()] if isinstance(node, h5py.Dataset) else None)
    except OSError:
        return False
    return True


def _write_shard(rows: NDArray[np.int32], result: NDArray[np.float32], path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("row", data=rows, fletcher32=True)
        file.create_dataset("result", data=result, fletcher32=True)


def write_rejects(resolved: ResolvedPairs, names: GeneNames, output: Path) -> Path | None:
    """Write ``<output>.rejects.csv`` beside the output, where there are rejects; else delete an earlier run's."""
    path = rejects_path(output)
    if not resolved.counts():
        path.unlink(missing_ok=True)
        return None
    replace_with(path, lambda part: resolved.rejects(names).write_csv(part))
    return path
