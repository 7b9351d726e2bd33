"""Ridge regression with its penalty chosen on rows that were not fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.arrays import Doubles

RIDGE = (0.01, 0.1, 1.0, 10.0, 100.0)  # in units of a row's mean squared length


def ridge(x: NDArray[Any], y: NDArray[Any], penalty: float) -> Callable[[NDArray[Any]], Doubles]:
    """Least squares with a penalty on the squared coefficients, and an intercept without one.

    Solved in the rows' space: ``y_mean + (x' - x_mean) X^T (X X^T + penalty * s)^-1 (y - y_mean)``, s the mean squared
    length of the centred rows.

    Args:
        x: ``[n, k]``.
        y: ``[n, m]``.
        penalty: of the coefficients.

    Returns:
        What predicts ``[n', m]`` from ``[n', k]``.
    """
    centre, mean = (np.asarray(each, np.float64).mean(0) for each in (x, y))
    rows = np.asarray(x, np.float64) - centre
    kernel = rows @ rows.T
    size = float(np.trace(kernel)) / len(kernel) or 1.0
    weights = rows.T @ np.linalg.solve(kernel + penalty * size * np.eye(len(kernel)), y - mean)  # [k, m]
    return lambda new: np.asarray(mean + (new - centre) @ weights)


def best(candidates: Iterable[tuple[float, Doubles]]) -> Doubles:
    """Of predictions with a loss each that of the lowest, the first of several."""
    return min(candidates, key=lambda each: each[0])[1]


def squared_error(predicted: Doubles, truth: NDArray[Any]) -> float:
    """Mean over what is known of the truth; infinite where nothing is, so that the first candidate is taken."""
    known = np.isfinite(truth)
    return float(((predicted - truth)[known] ** 2).mean()) if known.any() else float("inf")
