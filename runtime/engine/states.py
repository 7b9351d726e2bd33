"""Cell states: a context of its own for the virtual cell, from a profile or from cells.

A profile is a table of genes and values in the artifact's units. Cells (``.h5ad``, read with h5py alone) are
averaged, all of them or group by group, and brought to the artifact's units; the genes that say most about the
state become the context.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..arrays import Array, Codes
from ..artifact.folder import Artifact
from ..errors import InputError
from ..files.cells import UNREADABLE, read_genes_of_cells, strings
from ..genes.matches import Matches
from ..genes.names import GeneNames

MOST_GENES = 1000
MOST_GENES_Z = 32  # of models that were trained on a few visible genes at a time
SMALL = 1e-3


@dataclass(frozen=True)
class CellState:
    """A context: genes, as the vocabulary names them, and their values ``[C]`` in the artifact's units; `name` is
    empty for a single state."""

    name: str
    genes: list[str]
    values: Array


@dataclass(frozen=True)
class Cells:
    """Expression of cells: `values` ``[N, G]``, whether they are counts, gene names, and a group per cell."""

    values: Array
    counts: bool
    genes: list[str]
    groups: NDArray[np.str_]


@dataclass(frozen=True)
class EachCell:
    """Cells one by one: `values` ``[N, G]`` in a model's units, `genes` ``[G]``, distinct rows of its vocabulary, and
    what became of the file's names."""

    values: Array
    genes: NDArray[np.int64]
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
    return states_of(_read_h5ad(path, groupby, artifact.names), artifact, path, size)


def states_of(cells: Cells, artifact: Artifact, where: Path | str, size: int = 0) -> list[CellState]:
    """The state of every group of cells; `where` is what messages call them, and `size` as for `read_states`.

    Raises:
        InputError: the cells have nothing the artifact can use.
    """
    scale = artifact.manifest.scale
    columns, ids, _ = _known(cells, artifact.names, scale, where)
    profiles = CONVERSIONS[scale](cells, columns)
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
    cells = _read_h5ad(path, None, names)
    if len(cells.values) < fewest:
        message = f"{path}: {len(cells.values)} cells found; at least {fewest} are needed"
        raise InputError(message)
    columns, ids, matches = _known(cells, names, scale, path)
    each = np.arange(len(cells.values)).astype(str)
    profiles = CONVERSIONS[scale](replace(cells, groups=each), columns)
    values = np.stack([profiles[name] for name in each.tolist()]).astype(np.float32, copy=False)
    return EachCell(values, ids[columns].astype(np.int64), matches)


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


def in_state(artifact: Artifact, state: CellState) -> Artifact:
    """The artifact with the state as its virtual cell's context."""
    ids = artifact.names.ids(state.genes).astype(np.int64)
    return artifact.with_context(ids, state.values)


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
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        message = f"{path}: cannot be read as a profile ({error}); expected columns gene and value, or cells as .h5ad"
        raise InputError(message) from error


def _read_h5ad(path: Path, groupby: str | None, names: GeneNames) -> Cells:
    if not path.is_file():
        message = f"{path}: no such file; expected cells (.h5ad)"
        raise InputError(message)
    try:
        with h5py.File(path) as file:
            genes = read_genes_of_cells(file, names.ids)[1]
            values = _matrix(file["X"], len(genes))
            columns = [key for key in file["obs"] if not key.startswith("_")]
            if groupby is not None and groupby not in columns:
                message = f"{path}: no annotation {groupby!r} of its cells; it has: {', '.join(columns) or 'none'}"
                raise InputError(message)
            groups = [""] * len(values) if groupby is None else strings(file["obs"][groupby], "not annotated")
    except InputError:
        raise
    except UNREADABLE as error:
        message = f"{path}: not a readable .h5ad file ({error})"
        raise InputError(message) from error
    if values.shape != (len(groups), len(genes)) or not np.isfinite(values).all() or (values < 0).any():
        message = (
            f"{path}: X is {values.shape} with values from {values.min()} to {values.max()}; expected {len(groups)} "
            f"cells x {len(genes)} genes of counts or ln(1 + 1e4 x / sum): finite and not below zero, so not scaled"
        )
        raise InputError(message)
    counts = bool((values >= 0).all() and (values == np.round(values)).all())
    return Cells(values, counts, genes, np.array(groups))


def _matrix(stored: Any, genes: int) -> Array:
    """Cells x genes, from a dense, CSR or CSC matrix."""
    if isinstance(stored, h5py.Dataset):
        return np.asarray(stored[:], np.float32)
    data, indices, indptr = (stored[name][:] for name in ("data", "indices", "indptr"))
    major = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    layout = stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", "csr"))
    by_gene = str(layout).startswith("csc")
    rows, columns = (indices, major) if by_gene else (major, indices)
    shape = stored.attrs.get("shape", stored.attrs.get("h5sparse_shape"))
    cells = len(indptr) - 1 if shape is None else int(shape[0])
    matrix = np.zeros((cells, genes), np.float32)
    matrix[rows, columns] = data
    return matrix


def _lognorm(cells: Cells) -> Array:
    """ln(1 + 1e4 x / sum) of counts; other values are taken to be so already."""
    if not cells.counts:
        return cells.values
    totals = np.maximum(cells.values.sum(1, keepdims=True), 1.0)
    return np.asarray(np.log1p(cells.values * (1e4 / totals)), np.float32)


def _means(values: Array, groups: NDArray[np.str_]) -> dict[str, Array]:
    names = np.unique(groups)
    if len(names) == len(groups):  # every cell is a group of its own
        order = np.argsort(groups)
        return dict(zip(groups[order].tolist(), values[order], strict=True))
    return {str(name): values[groups == name].mean(0) for name in names}


def _z_scores(cells: Cells, columns: NDArray[np.intp]) -> dict[str, Array]:
    """Mean z-scores against all cells, less the mean over the genes, as in the mini backbone's pretraining."""
    values = _lognorm(cells)[:, columns]
    if len(np.unique(cells.groups)) < 2:
        message = (
            "this artifact's values are z-scores against all cells of the file, and the mean of them all is zero; "
            "name an annotation with --groupby, or give a profile with columns gene, value"
        )
        raise InputError(message)
    mean, deviation = values.mean(0), values.std(0)
    varying = deviation > SMALL
    scale = np.where(varying, 1.0 / np.maximum(deviation, SMALL), 0.0)
    scores = {name: (each - mean) * scale for name, each in _means(values, cells.groups).items()}
    return {name: np.where(varying, each - each[varying].mean(), 0.0) for name, each in scores.items()}


def _of_lognorm(change: Callable[[Array], Array]) -> Callable[[Cells, NDArray[np.intp]], dict[str, Array]]:
    return lambda cells, columns: _means(change(_lognorm(cells)[:, columns]), cells.groups)


def _log_counts(cells: Cells, columns: NDArray[np.intp]) -> dict[str, Array]:
    if not cells.counts:
        message = "this artifact's values are ln(1 + counts); the cells hold other numbers than counts"
        raise InputError(message)
    return _means(np.log1p(cells.values[:, columns]), cells.groups)


def _bins(cells: Cells, columns: NDArray[np.intp]) -> dict[str, Array]:
    """Ranks of the expressed genes of the mean profile, in bins 1 … 50; 0 where a gene is not expressed.

    Genes that tie share the mean of their ranks, and so a bin.
    """
    found = {}
    for name, profile in _means(_lognorm(cells)[:, columns], cells.groups).items():
        binned = np.zeros_like(profile)
        shown = profile > 0
        _, value, count = np.unique(profile[shown], return_inverse=True, return_counts=True)
        ranks = np.cumsum(count) - (count - 1) / 2
        binned[shown] = np.ceil(ranks * 50.0 / max(shown.sum(), 1))[value]  # multiplied first: exact at the top
        found[name] = binned
    return found


CONVERSIONS: dict[str, Callable[[Cells, NDArray[np.intp]], dict[str, Array]]] = {
    "z-score": _z_scores,
    "ln-cp10k": _of_lognorm(lambda x: x),
    "log2-cp10k": _of_lognorm(lambda x: np.minimum(x / np.float32(np.log(2.0)), np.float32(5.0))),
    "cp10k": _of_lognorm(lambda x: np.expm1(x)),
    "ln-counts": _log_counts,
    "bins": _bins,
}
