"""Cell-specific networks from a network and cells (GRNFormer, arXiv 2503.01682, "cell-specific GRN").

The network's sources with their targets are regulons; each regulon's activities in the cells are cut in two
populations, and a cell's network is the edges of the regulons that are active in it. A regulon whose activities are one
population tells no cells apart: it is in every cell's network where it is more active than random regulons of its size,
and in none where it is not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from ugrn.runtime import NetworkSettings, Scorer
from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.lists import GeneList, GenesLike, read_network_genes
from ugrn.runtime.genes.matches import Matches
from ugrn.runtime.genes.names import GeneNames
from ugrn.runtime.progress import Progress
from ugrn.runtime.runs.network import network_table

from .activity import above_chance, score_activities, two_populations
from .cell_files import CellFile, first_columns, read_cells
from .network import Network, Regulons
from .network_files import STRENGTHS, read_network
from .summary import REJECTS, CellNetworkSummary, ProgressFactory, write_networks

FEWEST_CELLS = 20


@dataclass(frozen=True)
class CellNetworkSettings:
    """Settings of the regulons' activities.

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
class Basis:
    """The network that the cells' networks are made of.

    Attributes:
        network: over the vocabulary, edges by key order.
        weights: float32 ``[E]``, or None.
        metadata: its origin.
        notes: the same, for people.
        rejects: names that could not be used: list, line, name, reason, did_you_mean.
    """

    network: Network
    weights: Array | None
    metadata: dict[str, Any]
    notes: list[str]
    rejects: pl.DataFrame


def scored_basis(
    scorer: Scorer, sources: GenesLike | None, targets: GenesLike | None, asked: NetworkSettings, progress: Progress
) -> Basis:
    """Score a network in memory.

    Raises:
        InputError: as of `Scorer.network_file`, or no edge is left.
    """
    names = scorer.artifact.names
    genes = read_network_genes(sources, targets, names)
    genes.require(names, asked.strict)
    table = network_table(scorer.artifact, scorer.settings, genes, asked, progress)
    parts = list(table.batches())
    if len(table) == 0:
        message = f"no edge of {genes.pairs} pairs is left; lower --min-probability ({asked.min_probability})"
        raise InputError(message)
    source, target = (
        _rows(each, table.genes)[np.concatenate([part[end] for part in parts])]
        for end, each in enumerate((genes.sources, genes.targets))
    )
    probability = pl.concat([part[2] for part in parts])["probability"].to_numpy()
    order = np.argsort(source * len(names) + target)
    network = Network(source[order], target[order], len(names))
    found = genes.rejects(names)
    metadata = {"scored": genes.pairs, "edges": len(network), "settings": asdict(asked)}
    notes = [f"{label}: {note}" for label, note in genes.notes().items()]
    notes.append(f"{genes.pairs:,} pairs scored, {len(network):,} edges kept")
    return Basis(network, probability[order], metadata, notes, pl.DataFrame(schema=REJECTS) if found is None else found)


def listed_basis(path: Path, names: GeneNames) -> Basis:
    """Read the network of a file; see `read_network`."""
    found = read_network(path, names, STRENGTHS)
    rejects = found.rejects(names).select(
        pl.lit("network").alias("list"), pl.lit(None, pl.Int64).alias("line"), pl.all()
    )
    return Basis(found.network, found.weights, found.metadata, [found.note], rejects)


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
    progress: ProgressFactory,
) -> CellNetworkSummary:
    """Score the regulons of a network in cells, and write the cells' networks.

    Args:
        basis: the network.
        cells: see `read_many_cells`.
        output: ``.h5``; see `cell_networks`.
        artifact: whose vocabulary the network is over.
        settings: how regulons are scored.
        progress: makes the progress of a unit.

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
    metadata = asdict(settings) | {"network": basis.metadata}
    return write_networks(output, regulons, cells, activity, threshold, artifact, matches, metadata, rejects, started)


def thresholds(activity: Array, chance: NDArray[np.bool_], progress: Progress) -> Array:
    """The activity above which each regulon is active, float32 ``[R]``.

    Args:
        activity: ``[N, R]``.
        chance: ``[R]``, True where a regulon that is one population is active in every cell (-inf), else in none (inf).
        progress: called with regulons done and regulons in all.
    """
    out = np.where(chance, -np.inf, np.inf).astype(np.float32)
    for row in range(len(out)):
        cut = two_populations(activity[:, row])
        if cut is not None:
            out[row] = cut
        progress(row + 1, len(out))
    return out


def _rows(listed: GeneList, genes: Sequence[str]) -> Ids:
    """Vocabulary rows of some names of a list; -1 for names that are not on it."""
    known = dict(zip(listed.used()[0], listed.used()[1].tolist(), strict=True))
    return np.array([known.get(name, -1) for name in genes], np.int64)


def _members(regulons: Regulons, cells: CellFile, matches: Matches, names: GeneNames) -> tuple[Any, Ids]:
    """Membership of the cells' genes in the regulons, sparse ``[F, R]``, and the number of each regulon, ``[R]``."""
    column = first_columns(matches.ids[matches.places(cells.features)], len(names))
    of_target = column[names.ids(regulons.genes)][regulons.target]
    there = of_target >= 0
    places = (of_target[there], regulons.of_edge[there])
    members = sp.csc_array((np.ones(len(places[0])), places), shape=(len(cells.features), len(regulons)))
    return members, np.bincount(places[1], minlength=len(regulons))


def _small(regulons: Regulons, sizes: Ids, least: int) -> pl.DataFrame:
    """The regulons that have too few targets, as rejects."""
    few = np.flatnonzero(sizes < least)
    names = [regulons.genes[regulons.source[row]] for row in few]
    reasons = [f"fewer than {least} targets in the cells ({size})" for size in sizes[few]]
    rows = [("regulons", None, name, reason, "") for name, reason in zip(names, reasons, strict=True)]
    return pl.DataFrame(rows, schema=REJECTS, orient="row")
