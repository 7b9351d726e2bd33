"""Cell-specific networks of cells without a network, from the nearest cells of a reference that has them.

GRNFormer (arXiv 2503.01682) gives cells measured by RNA alone the networks of their nearest cells of paired data. Here
a regulon is active in a cell where it is active in most of its nearest reference cells: by the cosine of the genes that
vary most in the reference, ln(1 + 1e4 x / sum), standardised with the reference's means and deviations.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames
from ugrn.runtime.progress import Progress

from .cell_files import CellFile, first_columns, read_cells
from .cell_networks import CellNetworks
from .summary import REJECTS, CellNetworkSummary, ProgressFactory, write_networks

MOST_GENES = 2000
FEWEST_GENES = 10
CELLS_AT_ONCE = 1024


def write_from_reference(
    query_file: Path,
    reference: CellNetworks,
    reference_file: Path,
    output: Path,
    artifact: Artifact,
    neighbours: int,
    progress: ProgressFactory,
) -> CellNetworkSummary:
    """Write the networks of query cells; the activity of a regulon is the share of the neighbours that have it.

    Args:
        query_file: ``.h5ad``.
        reference: the reference cells' networks.
        reference_file: ``.h5ad`` with the reference cells.
        output: ``.h5``.
        artifact: whose vocabulary the genes of both files are matched with.
        neighbours: how many decide; a regulon needs more than half of them.
        progress: makes the progress of a unit.

    Raises:
        InputError: files that cannot be used, or that do not fit each other.
    """
    started = time.monotonic()
    known = read_cells(reference_file, artifact.names)
    rows = _reference_rows(reference, known)
    query = read_cells(query_file, artifact.names)
    if not 1 <= neighbours <= len(reference.cells):
        message = f"found {neighbours} neighbours; expected from 1 to the reference's {len(reference.cells)} cells"
        raise InputError(message)
    left, right = _standardised(known, rows, query, artifact.names)
    share = _shares(left, right, reference.active, neighbours, progress("cells"))
    threshold = np.full(len(reference.regulons), 0.5, np.float32)
    settings = {"reference": reference.path.name, "reference_cells": reference_file.name, "neighbours": neighbours}
    metadata = settings | {"network": dict(reference.metadata)}
    matches, rejects = artifact.names.match(query.features), pl.DataFrame(schema=REJECTS)
    return write_networks(
        output, reference.regulons, query, share, threshold, artifact, matches, metadata, rejects, started
    )


def _shares(left: Array, right: Array, active: NDArray[np.bool_], neighbours: int, progress: Progress) -> Array:
    """Share of the nearest reference cells in which a regulon is active, float32 ``[Q, R]``.

    Args:
        left, right: reference and query, ``[N, g]`` and ``[Q, g]``.
        active: ``[N, R]``.
        neighbours: how many are asked.
        progress: called with cells done and cells in all.
    """
    nearest = NearestNeighbors(n_neighbors=neighbours, metric="cosine", algorithm="brute").fit(left)
    share = np.empty((len(right), active.shape[1]), np.float32)
    for start in range(0, len(right), CELLS_AT_ONCE):
        stop = min(start + CELLS_AT_ONCE, len(right))
        rows = nearest.kneighbors(right[start:stop], return_distance=False)
        share[start:stop] = active[rows].mean(1)
        progress(stop, len(right))
    return share


def _reference_rows(reference: CellNetworks, cells: CellFile) -> Ids:
    """Rows of the reference's expression in the order of the networks' cells, ``[N]``."""
    place = {name: row for row, name in enumerate(cells.cells)}
    missing = [name for name in reference.cells if name not in place]
    if missing:
        message = (
            f"{cells.where}: {len(missing)} of {len(reference.cells)} cells of {reference.path} are not in it, e.g. "
            f"{missing[0]}; expected the cells that the reference's networks were made of"
        )
        raise InputError(message)
    return np.array([place[name] for name in reference.cells], np.int64)


def _standardised(reference: CellFile, rows: Ids, query: CellFile, names: GeneNames) -> tuple[Array, Array]:
    """Reference and query over the same g genes, float32 ``[N, g]`` and ``[Q, g]``."""
    columns = [first_columns(names.ids(each.features), len(names)) for each in (reference, query)]
    common = np.flatnonzero((columns[0] >= 0) & (columns[1] >= 0))
    if len(common) < FEWEST_GENES:
        message = (
            f"{query.where} and {reference.where} have {len(common)} genes of the artifact in common; expected "
            f"{FEWEST_GENES} at least"
        )
        raise InputError(message)
    left = reference.lognorm()[rows][:, columns[0][common]].astype(np.float64)
    mean = np.asarray(left.mean(0))
    deviation = np.sqrt(np.maximum(np.asarray(left.multiply(left).mean(0)) - mean**2, 0.0))
    most = np.argsort(-deviation, kind="stable")[:MOST_GENES]
    most = most[deviation[most] > 0]
    right = query.lognorm()[:, columns[1][common[most]]]
    known, asked = (
        np.asarray((each.toarray() - mean[most]) / deviation[most], np.float32) for each in (left[:, most], right)
    )
    return known, asked
