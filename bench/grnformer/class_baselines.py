"""Baselines of the classes of cells: what a classifier of treated cells has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ugrn.export.benchmark.metrics import rank
from ugrn.runtime.arrays import Doubles

from .data import DrugClass, Rows, Split

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C: the larger, the weaker the penalty
STEPS = 1000
SMALL = 1e-10  # of the largest variance: an axis along which nothing varies


def class_baselines(data: DrugClass, split: Split) -> dict[str, Doubles]:
    """Probabilities of treatment ``[N_test]`` by the baseline's name."""
    share = float(data.label[split.train].mean())
    totals = np.log1p(data.totals.astype(np.float64))[:, None]
    return {
        "majority": np.full(len(split.test), share),
        "total count": logistic(totals, data, split),
        "logistic regression": logistic(data.expression, data, split),
    }


def logistic(x: NDArray[np.floating], data: DrugClass, split: Split) -> Doubles:
    """Logistic regression with a ridge penalty, that of the highest AUROC at validation.

    Where there are more genes than cells, cells are seen by their coordinates in the space that the training cells
    span: the penalised solution lies in it.

    Args:
        x: ``[N, k]``, what is seen of the cells.
    """
    trained = x[split.train].astype(np.float64)
    centre = trained.mean(0)
    axes = _axes(trained - centre)

    def seen(rows: Rows) -> Doubles:
        return np.asarray((x[rows] - centre) if axes is None else (x[rows] - centre) @ axes)

    train, validation, test = (seen(rows) for rows in (split.train, split.validation, split.test))
    tried = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=STEPS).fit(train, data.label[split.train])
        chosen, found = (model.predict_proba(part)[:, 1] for part in (validation, test))
        area = rank(data.label[split.validation], chosen, np.arange(len(chosen)), balanced=False).auroc()
        tried.append((area, found))
    return np.asarray(max(tried, key=lambda each: each[0])[1], np.float64)


def _axes(rows: Doubles) -> Doubles | None:
    """Orthonormal axes ``[k, n]`` of the space that ``[n, k]`` rows span; None where that saves nothing."""
    if rows.shape[1] <= len(rows):
        return None
    squares, vectors = np.linalg.eigh(rows @ rows.T)
    kept = squares > SMALL * squares[-1]
    return np.asarray(rows.T @ (vectors[:, kept] / np.sqrt(squares[kept])))
