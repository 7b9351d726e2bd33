"""Cells in the units of a model: the mean of each group of them, or each cell for itself.

A model states its units by a name, its *scale*. Cells are read block by block, so memory is bounded by one block and by
what is returned; means are added up in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array, Doubles, Ids
from ..errors import InputError
from ..files.annotations import Groups
from ..files.matrices import Matrix, Rows

SMALL = 1e-3


@dataclass(frozen=True)
class Cells:
    """Expression of N cells.

    Attributes:
        values: ``[N, G]``: counts, or else ln(1 + 1e4 x / sum).
        counts: True where they are counts.
        genes: G names.
        groups: of the cells.
    """

    values: Matrix
    counts: bool
    genes: list[str]
    groups: Groups


@dataclass(frozen=True)
class Moments:
    """Of K groups of cells the mean of each gene, `means` ``[K, G]``; of all cells `mean` and `deviation` ``[G]``."""

    means: Doubles
    mean: Doubles
    deviation: Doubles


@dataclass(frozen=True)
class Conversion:
    """The way of cells to a model's units.

    Attributes:
        change: of single values, ln(1 + 1e4 x / sum) or counts; zeros stay zeros.
        finish: of a profile ``[G]``, the mean of a group or one cell, among all cells.
        of_counts: True where counts are changed themselves, and other values cannot be.
        against_all: True where a profile is seen against all cells.
    """

    change: Callable[[Array], Array] = lambda values: values
    finish: Callable[[Doubles | Array, Moments], Doubles | Array] = lambda profile, moments: profile
    of_counts: bool = False
    against_all: bool = False

    def rows(self, rows: Rows, counts: bool) -> Rows:
        """A block of cells with every value changed."""
        if counts and not self.of_counts:
            rows = rows.log_normalise()
        return replace(rows, data=self.change(rows.data))


def mean_profiles(cells: Cells, columns: NDArray[np.intp], scale: str) -> dict[str, Array]:
    """The mean of every group of cells in a model's units, float32 ``[g]`` each, by the group's name.

    Args:
        cells: read once.
        columns: ``[g]``, of the genes that are wanted.
        scale: a name in `CONVERSIONS`.

    Raises:
        InputError: these cells do not become these units.
    """
    conversion = _conversion(cells, scale)
    if conversion.against_all and len(cells.groups.names) < 2:
        message = (
            "this artifact's values are z-scores against all cells of the file, and the mean of them all is zero; "
            "name an annotation with --groupby, or give a profile with columns gene, value"
        )
        raise InputError(message)
    moments = _moments(cells, columns, conversion, cells.groups)
    profiles = (conversion.finish(profile, moments).astype(np.float32) for profile in moments.means)
    return dict(zip(cells.groups.names, profiles, strict=True))


def convert_cells(cells: Cells, columns: NDArray[np.intp], scale: str) -> Array:
    """Every cell in a model's units, float32 ``[N, g]``. Arguments and errors as of `mean_profiles`.

    The cells are read once more where a profile is seen against all of them; their groups do not count.
    """
    conversion = _conversion(cells, scale)
    count, genes = cells.values.shape[0], len(columns)
    if conversion.against_all:
        moments = _moments(cells, columns, conversion, Groups.one(count))
    else:
        moments = Moments(np.zeros((0, genes)), np.zeros(genes), np.zeros(genes))
    out = np.zeros((count, genes), np.float32)
    place = _places(cells, columns)
    for rows in cells.values.blocks():
        conversion.rows(rows, cells.counts).take(place, genes).write_to(out)
    for row in out:
        row[:] = conversion.finish(row, moments)
    return out


def _conversion(cells: Cells, scale: str) -> Conversion:
    conversion = CONVERSIONS[scale]
    if conversion.of_counts and not cells.counts:
        message = "this artifact's values are ln(1 + counts); the cells hold other numbers than counts"
        raise InputError(message)
    return conversion


def _moments(cells: Cells, columns: NDArray[np.intp], conversion: Conversion, groups: Groups) -> Moments:
    genes = len(columns)
    sums = np.zeros(len(groups.names) * genes)
    squares = np.zeros(genes)
    place = _places(cells, columns)
    for rows in cells.values.blocks():
        taken = conversion.rows(rows, cells.counts).take(place, genes)
        values = taken.data.astype(np.float64)
        group = groups.codes[rows.start : rows.start + len(rows)].astype(np.int64)
        np.add.at(sums, group[taken.row] * genes + taken.indices, values)
        squares += np.bincount(taken.indices, values**2, genes)
    of_groups = sums.reshape(-1, genes)
    sizes = np.bincount(groups.codes, minlength=len(of_groups))[:, None]
    mean = of_groups.sum(0) / len(groups.codes)
    return Moments(of_groups / sizes, mean, np.sqrt(np.maximum(squares / len(groups.codes) - mean**2, 0.0)))


def _places(cells: Cells, columns: NDArray[np.intp]) -> Ids:
    """The place of every gene of the cells among some columns, -1 for none."""
    place = np.full(cells.values.shape[1], -1, np.int64)
    place[columns] = np.arange(len(columns))
    return place


def _z_scores(profile: Doubles | Array, moments: Moments) -> Doubles | Array:
    """z-scores against all cells, less their mean over the genes, as in the mini backbone's pretraining."""
    varying = moments.deviation > SMALL
    scores = (profile - moments.mean) / np.where(varying, moments.deviation, 1.0)
    return np.where(varying, scores - scores[varying].mean(), 0.0)


def _bins(profile: Doubles | Array, moments: Moments) -> Doubles | Array:
    """Ranks of the expressed genes, in bins 1 … 50; 0 where a gene is not expressed.

    Genes that tie share the mean of their ranks, and so a bin.
    """
    profile = profile.astype(np.float32)  # means that are the same, but for the order they were added up in, tie
    binned = np.zeros_like(profile)
    expressed = profile > 0
    _, value, count = np.unique(profile[expressed], return_inverse=True, return_counts=True)
    ranks = np.cumsum(count) - (count - 1) / 2
    binned[expressed] = np.ceil(ranks * 50.0 / max(expressed.sum(), 1))[value]  # multiplied first: exact at the top
    return binned


CONVERSIONS = {
    "z-score": Conversion(finish=_z_scores, against_all=True),
    "ln-cp10k": Conversion(),
    "log2-cp10k": Conversion(lambda values: np.minimum(values / np.float32(np.log(2.0)), np.float32(5.0))),
    "cp10k": Conversion(lambda values: np.expm1(values)),
    "ln-counts": Conversion(lambda values: np.log1p(values), of_counts=True),
    "bins": Conversion(finish=_bins),
}
