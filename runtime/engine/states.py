"""Cell states: a context of its own for the virtual cell, from a profile or from cells.

A profile is a table of genes and values in the artifact's units. Cells (``.h5ad``) are brought to these units and
averaged, all of them or group by group; the genes that say most about the state become the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..arrays import Array, Codes, Ids
from ..artifact.folder import Artifact
from ..errors import InputError
from ..files.annotations import Groups
from ..files.cells import open_cells, require_expression
from ..files.text import UNREADABLE_TABLE
from ..genes.matches import Matches
from ..genes.names import GeneNames
from .units import CONVERSIONS, Cells, convert_cells, mean_profiles

MOST_GENES = 1000
MOST_GENES_Z = 32  # of models that were trained on a few visible genes at a time


@dataclass(frozen=True)
class CellState:
    """A context: genes, as the vocabulary names them, and their values ``[C]`` in the artifact's units; `name` is
    empty for a single state."""

    name: str
    genes: list[str]
    values: Array


@dataclass(frozen=True)
class EachCell:
    """Cells one by one: `values` ``[N, G]`` in a model's units, `genes` ``[G]``, distinct rows of its vocabulary, and
    what became of the file's names."""

    values: Array
    genes: Ids
    matches: Matches


def read_states(path: Path, artifact: Artifact, groupby: str | None = None, size: int = 0) -> list[CellState]:
    """The cell states a file describes.

    Args:
        path: ``.h5ad``, or a ``.csv``/``.tsv`` with the columns gene and value (or the first two).
        artifact: whose units and vocabulary count.
        groupby: column of the cells' annotation; one state per group, else one of all cells.
        size: context genes taken from cells; 0 takes 32 for models of z-scores and 1,000 else. A profile's genes
            are all taken.

    Raises:
        InputError: the file cannot be read, or has nothing the artifact can use.
    """
    if path.suffix != ".h5ad":
        if groupby is not None or size:
            message = (
                f"--groupby or --context-size: {path} is a profile, all of which is taken; they are for .h5ad files"
            )
            raise InputError(message)
        return [_usable(_read_profile(path), artifact, path)]
    with _open(path, artifact.names, groupby) as cells:
        return states_of(cells, artifact, path, size)


def states_of(cells: Cells, artifact: Artifact, where: Path | str, size: int = 0) -> list[CellState]:
    """The state of every group of cells; `where` is what messages call them, and `size` as for `read_states`.

    Raises:
        InputError: the cells have nothing the artifact can use.
    """
    scale = artifact.manifest.scale
    columns, ids, _ = _known(cells, artifact.names, scale, where)
    profiles = mean_profiles(cells, columns, scale)
    genes = [artifact.names.symbols[row] for row in ids[columns]]
    most = size or (MOST_GENES_Z if scale == "z-score" else MOST_GENES)
    states = []
    for name, profile in profiles.items():
        weight = np.abs(profile) if scale == "z-score" else profile
        order = np.argsort(-weight, kind="stable")[:most]
        rows = order[weight[order] > 0]
        states.append(_usable(CellState(name, [genes[row] for row in rows], profile[rows]), artifact, where))
    return states


def read_each_cell(path: Path, names: GeneNames, scale: str, fewest: int = 2) -> EachCell:
    """The cells of a file, each on its own, in the units of a model.

    Args:
        path: ``.h5ad``, of counts or of ln(1 + 1e4 x / sum).
        names: the vocabulary.
        scale: how cells become the model's units, a name in `CONVERSIONS`. z-scores are against all cells of the file.
        fewest: cells that are needed, two at least.

    Raises:
        InputError: the file cannot be read, has fewer cells, or nothing the model can use.
    """
    if path.suffix != ".h5ad":
        message = f"{path}: expected cells as .h5ad (counts, or ln(1 + 1e4 x / sum))"
        raise InputError(message)
    with _open(path, names, fewest=fewest) as cells:
        columns, ids, matches = _known(cells, names, scale, path)
        return EachCell(convert_cells(cells, columns, scale), ids[columns].astype(np.int64), matches)


def _known(cells: Cells, names: GeneNames, scale: str, where: Path | str) -> tuple[NDArray[np.intp], Codes, Matches]:
    """Columns of distinct genes of the vocabulary, the row of every column's gene, and what became of the names."""
    matches = names.match(cells.genes)
    ids = matches.ids[matches.places(cells.genes)]
    distinct = np.unique(ids, return_index=True)[1]
    columns = np.sort(distinct[ids[distinct] >= 0])
    if len(columns) == 0:
        message = f"{where}: nothing of it is in the artifact's vocabulary: {matches.describe()}: {cells.genes[:3]} …"
        raise InputError(message)
    if scale not in CONVERSIONS:
        message = (
            f"{where}: the artifact does not say how cells become its units; give a profile with columns gene, value"
        )
        raise InputError(message)
    return columns, ids, matches


def _usable(state: CellState, artifact: Artifact, where: Path | str) -> CellState:
    ids = artifact.names.ids(state.genes)
    keep = np.unique(ids, return_index=True)[1]
    keep = np.sort(keep[ids[keep] >= 0])
    values = state.values[keep]
    if len(keep) == 0 or not np.isfinite(values).all():
        message = (
            f"{where}{' (' + state.name + ')' if state.name else ''}: {len(keep)} of {len(state.genes)} genes can be "
            f"used as a context, values finite: {bool(np.isfinite(values).all())}; expected known genes with values in "
            f"{artifact.manifest.units}"
        )
        raise InputError(message)
    return CellState(state.name, [artifact.names.symbols[row] for row in ids[keep]], values)


def _read_profile(path: Path) -> CellState:
    separator = "\t" if path.suffix == ".tsv" else ","
    try:
        table = pl.read_csv(path, separator=separator)
        names = ["gene", "value"] if {"gene", "value"} <= set(table.columns) else table.columns[:2]
        genes, values = (table[name] for name in names)
        if genes.null_count() or genes.is_duplicated().any():
            message = f"{genes.null_count()} rows without a gene, {int(genes.is_duplicated().sum())} of repeated genes"
            raise ValueError(message)
        return CellState("", genes.cast(pl.String).to_list(), values.cast(pl.Float32).to_numpy())
    except (ValueError, *UNREADABLE_TABLE) as error:
        message = f"{path}: cannot be read as a profile ({error}); expected columns gene and value, or cells as .h5ad"
        raise InputError(message) from error


@contextmanager
def _open(path: Path, names: GeneNames, groupby: str | None = None, fewest: int = 1) -> Iterator[Cells]:
    """The cells of a file, to be read while it is open."""
    with open_cells(path) as file:
        genes, count, columns = file.genes(names.ids)[1], len(file.obs), file.obs.columns
        if groupby is not None and groupby not in columns:
            message = f"{path}: no annotation {groupby!r} of its cells; it has: {', '.join(columns) or 'none'}"
            raise InputError(message)
        groups = Groups.one(count) if groupby is None else file.obs.groups(groupby, "not annotated")
        matrix = file.matrix()
        counts = require_expression(matrix, str(path), len(groups.codes), len(genes))
        if count < fewest:
            message = f"{path}: {count} cells found; at least {fewest} are needed"
            raise InputError(message)
        yield Cells(matrix, counts, genes, groups)
