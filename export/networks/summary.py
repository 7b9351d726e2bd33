"""Networks of cells with their summary: the file, its rejects, and the JSON beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ugrn.runtime.arrays import Array
from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.genes.matches import Matches
from ugrn.runtime.progress import Progress
from ugrn.runtime.runs.provenance import write_rejects, write_sidecar

from .cell_files import CellFile
from .cell_networks import write_cell_networks
from .network import Regulons

REJECTS = {"list": pl.String, "line": pl.Int64, "name": pl.String, "reason": pl.String, "did_you_mean": pl.String}

ProgressFactory = Callable[[str], Progress]
"""Makes the progress of a stage, by the unit that it counts."""


@dataclass(frozen=True)
class CellNetworkSummary:
    """Counts of what was written; also beside the result as JSON.

    Attributes:
        rejected: names by list and reason; small regulons are those of the list ``regulons``.
        genes: the match of the names of the cells' genes, in a sentence.
        somewhere, everywhere, nowhere: regulons that are active in some cells, in all, and in none.
        edges: of all regulons.
        regulons_per_cell, edges_per_cell: means.
    """

    output: Path
    rejects: Path | None
    rejected: dict[str, dict[str, int]]
    genes: str
    cells: int
    regulons: int
    somewhere: int
    everywhere: int
    nowhere: int
    edges: int
    regulons_per_cell: float
    edges_per_cell: float
    seconds: float


def write_networks(
    output: Path,
    regulons: Regulons,
    cells: CellFile,
    activity: Array,
    threshold: Array,
    artifact: Artifact,
    matches: Matches,
    metadata: Mapping[str, Any],
    rejects: pl.DataFrame,
    started: float,
) -> CellNetworkSummary:
    """Write the networks of N cells, what was left out, and the summary.

    Args:
        output, activity, threshold: see `cell_networks`; ``[N, R]`` and ``[R]``.
        artifact: whose vocabulary the regulons are of.
        matches: of the cells' genes.
        metadata: settings, and the origin of the regulons.
        rejects: names that were left out: list, line, name, reason, did_you_mean.
        started: `time.monotonic` at the start.
    """
    origin = {"artifact": artifact.digest, "cells": cells.path.name, "cells_sha256": file_entry(cells.path)["sha256"]}
    metadata = origin | dict(metadata)
    active = write_cell_networks(output, regulons, cells.cells, activity, threshold, metadata)
    per_regulon = active.sum(0)
    summary = CellNetworkSummary(
        output=output,
        rejects=write_rejects(rejects if len(rejects) else None, output),
        rejected=count_rejects(rejects),
        genes=matches.describe(),
        cells=len(active),
        regulons=len(regulons),
        somewhere=int(((per_regulon > 0) & (per_regulon < len(active))).sum()),
        everywhere=int((per_regulon == len(active)).sum()),
        nowhere=int((per_regulon == 0).sum()),
        edges=len(regulons.target),
        regulons_per_cell=round(float(active.sum(1).mean()), 2),
        edges_per_cell=round(float((active @ regulons.sizes).mean()), 2),
        seconds=round(time.monotonic() - started, 3),
    )
    counts = {name: value for name, value in asdict(summary).items() if name not in ("output", "rejects", "seconds")}
    write_sidecar(output, artifact, {"settings": metadata, **counts}, summary.seconds)
    return summary


def count_rejects(rejects: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Numbers of rejects by list and by reason, less what a reason says of the single one in brackets."""
    counted = rejects.group_by("list", pl.col("reason").str.replace(r" \(.*", "")).len().sort("list", "reason")
    found: dict[str, dict[str, int]] = {}
    for label, reason, count in counted.iter_rows():
        found.setdefault(label, {})[reason] = count
    return found
