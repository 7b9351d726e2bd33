"""A run into a file, the same for pair lists and networks: crash-safe, resumable, and on record.

The output is checked and the run's folder locked; blocks without a shard are computed; the result is written, and a
JSON file beside it; the folder is deleted. `Task` is the part that differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl

from ..artifact.folder import Artifact
from ..files.outputs import OutputFormat, check_output
from ..files.results import write_results
from ..files.tables import EdgeTable
from ..progress import Progress
from .provenance import write_rejects, write_sidecar
from .store import Arrays, RunFolder, Shards


@dataclass(frozen=True)
class RunRecord:
    """The part that the summaries of all runs share.

    Attributes:
        output: the result.
        rejects: the list of rejects; None where there are none.
        seconds: wall time.
        resumed_blocks, started_over: see `RunFolder`.
    """

    output: Path
    rejects: Path | None
    seconds: float
    resumed_blocks: int
    started_over: bool


Table = TypeVar("Table", bound=EdgeTable)
Summary = TypeVar("Summary")


class Task(Protocol[Table, Summary]):
    """The work of a run: the part that differs between pair lists and networks."""

    @property
    def artifact(self) -> Artifact:
        """The artifact that scores."""

    def rejects(self) -> pl.DataFrame | None:
        """The names or pairs that cannot be scored, with reasons; None where there are none."""

    def finish(self, folder: RunFolder, progress: Progress) -> Table:
        """Start the folder and compute the blocks that it has no shard of (see `finish_blocks`); the result."""

    def summary(self, table: Table, record: RunRecord) -> Summary:
        """The summary of a run that gave this result."""

    def metadata(self, summary: Summary) -> Mapping[str, Any]:
        """Settings and counts, for the JSON beside the result."""


def run_to_file(
    prepare: Callable[[OutputFormat], Task[Table, Summary]],
    output: Path,
    reads: Iterable[object],
    format_name: str,
    progress: Progress,
) -> Summary:
    """Do a task and write its result.

    Args:
        prepare: reads and checks the input, for a result of this format.
        output: the result file.
        reads: the input; the paths among it must not be overwritten.
        format_name: a layout or a container, see `output_format`.
        progress: called with pairs done and pairs in all.

    Raises:
        InputError: the output cannot be written, or another run is writing it; and as `prepare` does.
    """
    started = time.monotonic()
    to = check_output(output, reads, format_name)
    task = prepare(to)
    with RunFolder(output) as folder:
        rejects = write_rejects(task.rejects(), output)
        table = task.finish(folder, progress)
        write_results(table, output, to)
        seconds = round(time.monotonic() - started, 3)
        summary = task.summary(table, RunRecord(output, rejects, seconds, folder.resumed, folder.started_over))
        write_sidecar(output, task.artifact, task.metadata(summary), seconds)
        folder.remove()
    return summary


def finish_blocks(
    shards: Shards,
    ends: Sequence[int],
    compute: Callable[[Sequence[int]], Generator[Arrays, None, None]],
    progress: Progress,
    resume: Callable[[Arrays], None] | None = None,
) -> None:
    """Compute the blocks that have no shard yet.

    Args:
        shards: of the blocks.
        ends: number of pairs done after each block.
        compute: gives the arrays of the missing blocks, by number, one after the other.
        progress: called with pairs done and pairs in all.
        resume: takes the arrays of a block that an earlier run finished, in its turn.
    """
    missing = [index for index in range(len(ends)) if index not in shards]
    with closing(compute(missing)) as computed:
        for index, done in enumerate(ends):
            new = index not in shards
            if new:
                shards[index] = next(computed)
            elif resume is not None:
                resume(shards[index])
            if new or done == ends[-1]:  # the pairs of an earlier run are not in the rate of this one
                progress(done, ends[-1])
