"""A file run: a folder ``<output>.run`` with one HDF5 shard per finished block and, for pair lists, the pair batches.

A shard is written to a temporary file, synced and renamed, because an HDF5 file killed while open is usually
unreadable. A run that was killed resumes at the first missing shard and ends with the same bytes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..engine.probe import MOST_SOURCES, plan_blocks
from ..errors import InputError
from ..files.atomic import replace_with
from ..files.outputs import rejects_path
from ..files.pairs import PairBatches, write_pair_batches
from ..genes.pairs import ResolvedPairs
from ..progress import Progress

MARK, PAIRS = "fingerprint", "pairs.h5"
OURS = re.compile(r"\.?(fingerprint|pairs\.h5|part-\d+\.h5|results\.f32)(\.tmp)?")

Score = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]]


@dataclass(frozen=True)
class ScoreSettings:
    """What a run writes.

    Attributes:
        prior: expected share of edges among the pairs; None keeps the training prevalence.
        features: also write the probe features.
        strict: refuse a pair list of which any pair would be rejected.
        format: a layout or a container by name (`ugrn.runtime.files.formats`); the rest is said by the suffix.
        rank: merge the ranks by the probability with those by a numeric column of the list, and sort by the merged
            rank: a column's name, or True for the first of importance, weight and score.
    """

    prior: float | None = None
    features: bool = False
    strict: bool = False
    format: str = "ugrn"
    rank: bool | str = False


@dataclass(frozen=True)
class Summary:
    """What a file run did; also written next to the result as JSON.

    Attributes:
        rejected: pairs by reason.
        names: what the genes' names were matched as, where they are not all symbols; else empty.
        renamed: result columns whose names the list has itself, and what they are called in the result.
        started_over: see `RunFolder`.
        ranked_by: column of the list whose ranks were merged with those of the probability.
    """

    output: Path
    rejects: Path | None
    read: int
    scored: int
    rejected: dict[str, int]
    names: str
    renamed: dict[str, str]
    ranked_by: str | None
    seconds: float
    resumed_blocks: int
    started_over: bool


class RunFolder:
    """The folder of one run, which holds a shard for every finished block.

    Args:
        output: the result file; the folder lies beside it.
        fingerprint: hash of all that decides the bytes; a folder with another one is started anew.
        needs: files that the blocks are computed from, and what writes them.

    Attributes:
        resumed: how many blocks an earlier run had finished.
        started_over: whether the folder held an unfinished run of other settings or another list.
    """

    def __init__(self, output: Path, fingerprint: str, needs: Mapping[str, Callable[[Path], object]]) -> None:
        self.path = output.with_name(output.name + ".run")
        self.resumed = 0
        mark = self.path / MARK
        same = mark.is_file() and mark.read_bytes() == fingerprint.encode()
        self.started_over = mark.is_file() and not same
        if not (same and all(_readable(self.path / name) for name in needs)):
            self.remove()
            self.path.mkdir()
            for name, write in needs.items():
                replace_with(self.path / name, write)
            replace_with(mark, lambda part: part.write_text(fingerprint))

    def shard(self, index: int) -> Path:
        """Where the shard of a block goes."""
        return self.path / f"part-{index:05d}.h5"

    def finished(self, index: int) -> bool:
        """Whether an earlier run finished a block; those that it did are counted in `resumed`."""
        found = _readable(self.shard(index))
        self.resumed += found
        return found

    def write(self, index: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write the shard of a block."""
        replace_with(self.shard(index), partial(_write_arrays, arrays))

    def remove(self) -> None:
        """Delete the folder, the fingerprint first: without it, what is left is no run to resume.

        Raises:
            InputError: something that is no run of ours bears the folder's name.
        """
        if not self.path.exists():
            return
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else {""}
        if not all(OURS.fullmatch(name) for name in names):
            message = f"{self.path}: is in the way and was not made by ugrn; move it, or choose another name with -o"
            raise InputError(message)
        (self.path / MARK).unlink(missing_ok=True)
        shutil.rmtree(self.path)


class FileRun:
    """The run of one pair list: pair batches, and a shard for every finished block.

    Args:
        resolved: the pairs.
        output, fingerprint: as for `RunFolder`.
    """

    def __init__(self, resolved: ResolvedPairs, output: Path, fingerprint: str) -> None:
        self.resolved = resolved
        self.folder = RunFolder(
            output,
            fingerprint,
            {PAIRS: partial(write_pair_batches, resolved.pairs, resolved.ids, resolved.sorted_rows)},
        )
        self.shards: list[Path] = []

    def finish_blocks(self, score: Score, report: Progress) -> None:
        """Compute the blocks of the pair batches that have no shard yet."""
        batches = PairBatches(self.folder.path / PAIRS)
        total = int(batches.indptr[-1])
        for index, (first, last) in enumerate(plan_blocks(batches.indptr, MOST_SOURCES)):
            self.shards.append(self.folder.shard(index))
            if not self.folder.finished(index):
                source, target, row = batches.block(first, last)
                self.folder.write(index, {"row": row, "result": score(source, target)})
            report(last, total)

    def results(self, columns: int) -> NDArray[np.float32]:
        """All shards, on disk: float32 ``[N, columns]``, by row of the list."""
        shape = (len(self.resolved.pairs), columns)
        path = self.folder.path / "results.f32"
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # a full disk is an error here, not a crash in the middle
                os.posix_fallocate(file.fileno(), 0, 4 * shape[0] * shape[1])
        results = np.memmap(path, np.float32, "w+", shape=shape)
        for shard in self.shards:
            with h5py.File(shard) as file:
                results[file["row"][:]] = file["result"][:]
        return results


def _readable(path: Path) -> bool:
    """Whether an HDF5 file is there and whole; one torn by a power cut is computed again."""
    try:
        with h5py.File(path) as file:
            file.visititems(lambda _, node: node[()] if isinstance(node, h5py.Dataset) else None)
    except OSError:
        return False
    return True


def _write_arrays(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, fletcher32=True)


def write_rejects(rejects: pl.DataFrame | None, output: Path) -> Path | None:
    """Write ``<output>.rejects.csv`` beside the output, where there are rejects; else delete an earlier run's."""
    path = rejects_path(output)
    if rejects is None:
        path.unlink(missing_ok=True)
        return None
    replace_with(path, rejects.write_csv)
    return path
