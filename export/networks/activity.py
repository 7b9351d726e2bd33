"""Activities of regulons in cells: AUCell, and a cut between two populations of its activities.

A regulon is a source with its targets. AUCell (Aibar et al. 2017, "SCENIC", Nature Methods 14, 1083) ranks the genes of
a cell by expression, the strongest first, and follows how many of the regulon's targets have come up to each rank. The
activity is the area under that curve within the first T ranks, as a share of the largest that a regulon of its size can
have. A target at rank r <= T adds T - r to the area: what a gene adds is its *credit*, and the activities of a block
of cells are one product of matrices.

Genes that are equally expressed, above all those at zero, share the mean credit of their ranks: that is the mean over
all orders they could stand in, so neither the file's order nor a draw of random numbers decides.

Shapes: N cells, F genes of their file, R regulons.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ugrn.runtime.arrays import Array, Doubles

from .cell_files import CellFile

CELLS_AT_ONCE = 256
LEAST_VARIANCE = 1e-4  # of a component, where all activities together have 1; many cells may have the very same one
ABOVE_CHANCE = 1.645  # standard deviations that leave 5 % above them


def top_ranks(genes: int, share: float) -> int:
    """T, the ranks that count: a share of the genes, two at least."""
    return min(max(ceil(share * genes), 2), genes)


def credits_of(values: Array, top: int) -> Doubles:
    """The credit of every gene of some cells: what it adds to the area under a recovery curve.

    Args:
        values: ``[n, F]``.
        top: T.

    Returns:
        ``[n, F]``: T - r for rank r = 1 ... T, 0 for later ones; the mean of them where genes tie.
    """
    out = np.zeros(values.shape)
    for row, found in zip(values, out, strict=True):
        chosen = np.flatnonzero(row >= np.partition(row, len(row) - top)[len(row) - top])  # the first T and their ties
        order = chosen[np.argsort(-row[chosen], kind="stable")]
        ranked = np.maximum(top - 1.0 - np.arange(len(order)), 0.0)
        first = np.flatnonzero(np.diff(row[order], prepend=np.inf))  # of each run of ties
        lengths = np.diff(first, append=len(order))
        found[order] = np.repeat(np.add.reduceat(ranked, first) / lengths, lengths)
    return out


def largest_areas(sizes: NDArray[np.integer[Any]], top: int) -> Doubles:
    """The area of regulons all of whose targets come first."""
    counted = np.minimum(sizes, top - 1).astype(np.float64)
    return np.asarray(counted * top - counted * (counted + 1) / 2)


def score_activities(
    cells: CellFile, members: Any, top_share: float, report: Callable[[int, int], None]
) -> tuple[Array, Doubles]:
    """Activities of regulons in cells, block by block of the cells.

    Args:
        cells: whose genes are ranked, all of them.
        members: sparse ``[F, R]``: 1 where a gene is a target of a regulon.
        top_share: share of the genes that counts.
        report: called with cells done and cells in all.

    Returns:
        Activities float32 ``[N, R]`` from 0 to 1, and the genes' mean credit ``[F]``.
    """
    top = top_ranks(len(cells.features), top_share)
    largest = largest_areas(np.asarray(members.sum(0)), top)
    activity = np.empty((len(cells), members.shape[1]), np.float32)
    credit = np.zeros(len(cells.features))
    for start in range(0, len(cells), CELLS_AT_ONCE):
        stop = min(start + CELLS_AT_ONCE, len(cells))
        found = credits_of(cells.block(start, stop), top)
        activity[start:stop] = (found @ members) / largest
        credit += found.sum(0)
        report(stop, len(cells))
    return activity, credit / len(cells)


def above_chance(members: Any, credit: Doubles) -> NDArray[np.bool_]:
    """True where a regulon is more active, on the mean of all cells, than 95 % of random ones of its size.

    A mean activity is a sum of mean credits, so that of k genes drawn without putting back has a known mean and
    variance; the normal distribution is taken for its tail.

    Args:
        members: sparse ``[F, R]``, of the genes that a random regulon may have.
        credit: ``[F]``, the genes' mean credit.
    """
    sizes, genes = np.asarray(members.sum(0)), len(credit)
    variance = sizes * credit.var() * (genes - sizes) / max(genes - 1, 1)
    found: NDArray[np.bool_] = members.T @ credit > sizes * credit.mean() + ABOVE_CHANCE * np.sqrt(variance)
    return found


def two_populations(activity: Array) -> float | None:
    """The cut that parts the activities ``[N]`` of a regulon in two; None where they are one population.

    A mixture of two Gaussian components is fitted, and the cut lies between their means where they weigh the same. The
    activities are one population where they do not vary, where a single component describes them better (BIC), or where
    one component outweighs the other at both means. Two modes are not asked for: a long tail is a population too.
    """
    values = activity.astype(np.float64)
    mean, spread = values.mean(), values.std()
    if spread <= 1e-6 * np.abs(values).max():
        return None
    x = (values - mean) / spread
    two = max((_mixture(x, start) for start in _starts(x)), key=lambda found: float(found.lower_bound_))
    if two.bic(x[:, None]) >= _mixture(x, {}).bic(x[:, None]):
        return None
    order = np.argsort(two.means_[:, 0])
    means, deviations, weights = two.means_[order, 0], np.sqrt(two.covariances_[order]), two.weights_[order]

    def lead(at: float) -> float:
        """Of the lower component over the higher, in log densities."""
        low, high = np.log(weights / deviations) - 0.5 * ((at - means) / deviations) ** 2
        return float(low - high)

    if lead(means[0]) <= 0 or lead(means[1]) >= 0:
        return None
    return float(brentq(lead, means[0], means[1]) * spread + mean)


def _starts(x: Doubles) -> Iterator[dict[str, Any]]:
    """Starts of a fit: the cells below and above the mean, and a tenth of them against the rest."""
    for at in (0.0, *np.quantile(x, (0.1, 0.9))):
        parts = [x[x <= at], x[x > at]]
        if min(map(len, parts)):
            yield {
                "n_components": 2,
                "weights_init": [len(part) / len(x) for part in parts],
                "means_init": [[part.mean()] for part in parts],
                "precisions_init": [1.0 / (part.var() + LEAST_VARIANCE) for part in parts],
            }


def _mixture(x: Doubles, start: Mapping[str, Any]) -> Any:
    found = GaussianMixture(covariance_type="spherical", reg_covar=LEAST_VARIANCE, max_iter=300, **start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a cut between slow components is as good
        return found.fit(x[:, None])
