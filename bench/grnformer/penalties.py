"""Ridge regression with its penalty chosen on rows that were not fitted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from ugrn.runtime.arrays import Doubles

RIDGE = (0.01, 0.1, 1.0, 10.0, 100.0)  # in units of a row's mean squared length


def ridge(x: NDArray[Any], y: NDArray[Any], penalty: float, intercept: bool = True) -> Ridge:
    """Fitted ridge regression.

    Args:
        x: ``[n, k]``.
        y: ``[n, m]``.
        penalty: of the squared coefficients, in units of the mean squared length of the rows, centred if `intercept`.
        intercept: with one, which has no penalty.
    """
    rows = np.asarray(x, np.float64)
    centred = rows - rows.mean(0) if intercept else rows
    size = float((centred**2).sum(1).mean()) or 1.0
    return Ridge(alpha=penalty * size, fit_intercept=intercept).fit(rows, y)


def best(candidates: Iterable[tuple[float, Doubles]]) -> Doubles:
    """Of predictions with a loss each that of the lowest, the first of several."""
    return min(candidates, key=lambda each: each[0])[1]


def squared_error(predicted: Doubles, truth: NDArray[Any]) -> float:
    """Mean over what is known of the truth; infinite where nothing is, so that the first candidate is taken."""
    known = np.isfinite(truth)
    return float(((predicted - truth)[known] ** 2).mean()) if known.any() else float("inf")
