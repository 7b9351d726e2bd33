"""Cell-specific networks from a network and cells (GRNFormer, arXiv 2503.01682, "cell-specific GRN").

The network's sources with their targets are regulons; each regulon's activities in the cells are cut in two
populations, and a cell's network is the edges of the regulons that are active in it. A regulon whose activities are one
population tells no cells apart: it is in every cell's network where it is more active than random regulons of its size,
and in none where it is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array
from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.matches import Matches
from ugrn.runtime.genes.names import GeneNames
from ugrn.runtime.progress import Progress
from ugrn.runtime.runs.provenance import write_sidecar
from ugrn.runtime.runs.store import write_rejects

from .activity import above_chance, score_activities, two_populations
from .basis import REJECTS, Basis
from .cell_files import CellFile, first_columns, read_cells
from .cell_networks import Regulons, write_cell_networks

FEWEST_CELLS = 20

StageProgress = Callable[[str], Progress]


@dataclass(frozen=True)
class CellNetworkSettings:
    """How regulons are scored.

    Attributes:
        top_share: share of a cell's genes within which a regulon's targets count.
        min_targets: a regulon with fewer targets among the genes of the cells is left out.

    Raises:
        InputError: a setting is out of its range.
    """

    top_share: float = 0.05
    min_targets: int = 5

    def __post_init__(self) -> None:
        if not 0.0 < self.top_share <= 1.0 or self.min_targets < 1:
            message = (
                f"found --top-share {self.top_share} and --min-targets {self.min_targets}; expected a share above 0 "
                "and up to 1, and a number from 1"
            )
            raise InputError(message)


@dataclass(frozen=True)
class CellNetworkSummary:
    """What was written; also beside the result as JSON.

    Attributes:
        rejected: names by list and reason; small regulons are those of the list ``regulons``.
        genes: what the names of the cells' genes were matched as.
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


def read_many_cells(path: Path, names: GeneNames) -> CellFile:
    """Read cells (``.h5ad``), so many that two populations can be told apart.

    Raises:
        InputError: they cannot be read, or are too few.
    """
    cells = read_cells(path, names)
    if len(cells) < FEWEST_CELLS:
        message = f"{path}: {len(cells)} cells; at least {FEWEST_CELLS} are needed to tell two populations apart"
        raise InputError(message)
    return cells


def write_per_cell(
    basis: Basis,
    cells: CellFile,
    output: Path,
    artifact: Artifact,
    settings: CellNetworkSettings,
    progress: StageProgress,
) -> CellNetworkSummary:
    """Score the regulons of a network in cells, and write the cells' networks.

    Args:
        basis: the network.
        cells: see `read_many_cells`.
        output: ``.h5``; see `cell_networks`.
        artifact: whose vocabulary the network is over.
        settings: how regulons are scored.
        progress: makes a report of a unit's name.

    Raises:
        InputError: no regulon has targets enough among the genes of the cells.
    """
    started = time.monotonic()
    whole = Regulons.of(basis.network, basis.weights, artifact.names.symbols)
    matches = artifact.names.match(cells.features)
    members, sizes = _members(whole, cells, matches, artifact.names)
    kept = sizes >= settings.min_targets
    if not kept.any():
        message = (
            f"{cells.where}: none of {len(whole)} regulons has {settings.min_targets} targets among its genes; the "
            f"largest has {sizes.max()} ({matches.describe()}); keep more edges, or lower --min-targets"
        )
        raise InputError(message)
    regulons, members = whole.kept(kept), members[:, np.flatnonzero(kept)]
    activity, credit = score_activities(cells, members, settings.top_share, progress("cells"))
    known = np.flatnonzero(matches.ids[matches.places(cells.features)] >= 0)  # of which a regulon could be made
    threshold = thresholds(activity, above_chance(members[known], credit[known]), progress("regulons"))
    rejects = pl.concat([basis.rejects, _small(whole, sizes, settings.min_targets)])
    metadata = cells_metadata(artifact, cells.path) | asdict(settings) | {"network": basis.metadata}
    active = write_cell_networks(output, regulons, cells.cells, activity, threshold, metadata)
    summary = summarise(output, rejects, matches, regulons, active, started)
    counts = {name: value for name, value in asdict(summary).items() if name not in ("output", "rejects", "seconds")}
    write_sidecar(output, artifact, metadata, counts, summary.seconds)
    return summary


def thresholds(activity: Array, chance: NDArray[np.bool_], report: Progress) -> Array:
    """Above which activity each regulon is active, ``[R]``.

    Args:
        activity: ``[N, R]``.
        chance: ``[R]``, whether a regulon that is one population is active in every cell (-inf) or in none (inf).
        report: called with regulons done and regulons in all.
    """
    out = np.where(chance, -np.inf, np.inf).astype(np.float32)
    for row in range(len(out)):
        cut = two_populations(activity[:, row])
        if cut is not None:
            out[row] = cut
        report(row + 1, len(out))
    return out


def cells_metadata(artifact: Artifact, cells_file: Path) -> dict[str, Any]:
    """What the file of the networks says of the cells."""
    return {"artifact": artifact.digest, "cells": cells_file.name, "cells_sha256": file_entry(cells_file)["sha256"]}


def summarise(
    output: Path,
    rejects: pl.DataFrame,
    matches: Matches,
    regulons: Regulons,
    active: NDArray[np.bool_],
    started: float,
) -> CellNetworkSummary:
    """Count what was written, and write the rejects beside it."""
    counted = rejects.group_by("list", pl.col("reason").str.replace(r" \(.*", "")).len().sort("list", "reason")
    rejected: dict[str, dict[str, int]] = {}
    for label, reason, count in counted.iter_rows():
        rejected.setdefault(label, {})[reason] = count
    cells = active.sum(0)
    return CellNetworkSummary(
        output=output,
        rejects=write_rejects(rejects if len(rejects) else None, output),
        rejected=rejected,
        genes=matches.describe(),
        cells=len(active),
        regulons=len(regulons),
        somewhere=int(((cells > 0) & (cells < len(active))).sum()),
        everywhere=int((cells == len(active)).sum()),
        nowhere=int((cells == 0).sum()),
        edges=len(regulons.target),
        regulons_per_cell=round(float(active.sum(1).mean()), 2),
        edges_per_cell=round(float((active @ regulons.sizes).mean()), 2),
        seconds=round(time.monotonic() - started, 3),
    )


def _members(regulons: Regulons, cells: CellFile, matches: Matches, names: GeneNames) -> tuple[Any, NDArray[np.int64]]:
    """Which genes of the cells are targets of which regulons, sparse ``[F, R]``, and how many each has."""
    column = first_columns(matches.ids[matches.places(cells.features)], len(names))
    of_target = column[names.ids(regulons.genes)][regulons.target]
    there = of_target >= 0
    places = (of_target[there], regulons.of_edge[there])
    members = sp.csc_array((np.ones(len(places[0])), places), shape=(len(cells.features), len(regulons)))
    return members, np.bincount(places[1], minlength=len(regulons))


def _small(regulons: Regulons, sizes: NDArray[np.int64], least: int) -> pl.DataFrame:
    """Rejects for the regulons that have too few targets."""
    rows = [
        (
            "regulons",
            None,
            regulons.genes[regulons.source[row]],
            f"fewer than {least} targets in the cells ({size})",
            "",
        )
        for row, size in enumerate(sizes.tolist())
        if size < least
    ]
    return pl.DataFrame(rows, schema=REJECTS, orient="row")
