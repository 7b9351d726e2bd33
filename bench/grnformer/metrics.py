"""Metrics of predicted changes, responses and classes, unit by unit.

Every metric is a mean of values, one to a unit of the test part, so that an interval can say how sure it is. Some
metrics are no means of units: Pearson r and RMSE over all pairs, and the areas where cells are held out. Their units
have values that the jackknife gives (Efron 1982): s + (n - 1) * (mean of s_-i - s_-i), where s_-i is the metric without
unit i of n. Their mean is s exactly, and their spread that of the jackknife.

A prediction that does not vary says nothing: its r is 0, its AUROC 0.5, its AUPRC the share of treated cells. Where the
truth does not vary, or there is too little of it, a value is undefined (nan), and left out of means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ugrn.export.benchmark.metrics import rank
from ugrn.runtime.arrays import Doubles
from ugrn.runtime.errors import InputError

from .data import DrugClass, DrugResponse, Perturbations, Split, TaskData, TaskKind

TOP = 20
FEWEST_PAIRS = 5  # of a drug, for an r across lines
BLOCKS = 20
FLAT = 1e-9  # of a prediction's size: what rounding alone makes vary
METRICS: dict[TaskKind, tuple[str, ...]] = {
    "perturbation": ("r", "r beyond mean", f"r top {TOP}"),
    "drug-response": ("r", "r per drug", "RMSE"),
    "drug-class": ("AUROC", "AUPRC"),
}
LOWER_IS_BETTER = ("RMSE",)


@dataclass(frozen=True)
class Value:
    """The value of a metric at one unit."""

    unit: str
    metric: str
    value: float


def measure(data: TaskData, split: Split, predicted: ArrayLike) -> list[Value]:
    """All metrics of a prediction of the test part.

    Args:
        data: of a task.
        split: of the data.
        predicted: changes ``[P_test, G]``, responses ``[M_test]``, or probabilities of treatment ``[N_test]``.

    Raises:
        InputError: the prediction has another shape, or holds numbers that are not finite.
    """
    values = np.asarray(predicted, np.float64)
    shape = (len(split.test), len(data.genes)) if isinstance(data, Perturbations) else (len(split.test),)
    if values.shape != shape or not np.isfinite(values).all():
        wrong = f"{int((~np.isfinite(values)).sum())} of its numbers not finite"
        message = f"{data.name}: a prediction of shape {values.shape}, {wrong}; expected {shape}, all finite"
        raise InputError(message)
    if isinstance(data, Perturbations):
        return _changes(data, split, values)
    return _responses(data, split, values) if isinstance(data, DrugResponse) else _classes(data, split, values)


def pearson(x: Doubles, y: Doubles) -> float:
    """Pearson r of two vectors; 0 where the prediction `x` does not vary, nan where the truth `y` does not."""
    return _r_of(x - x.mean(), y - y.mean(), float(np.abs(x).max()), float(np.abs(y).max())) if len(x) > 1 else np.nan


def beyond(x: Doubles, y: Doubles, common: Doubles) -> float:
    """Pearson r of what is left of two vectors when their regressions on a third are taken off (partial correlation).

    This is 0 for any multiple of `common`, none included.
    """
    basis = np.stack([np.ones_like(common), common], axis=1)
    left = [each - basis @ np.linalg.lstsq(basis, each)[0] for each in (x, y)]
    return _r_of(left[0], left[1], float(np.abs(x).max()), float(np.abs(y).max())) if len(x) > 2 else np.nan


def _r_of(x: Doubles, y: Doubles, size: float, of_truth: float) -> float:
    """Of centred vectors, and of the size of what they were."""
    norms = [float(np.linalg.norm(each)) for each in (x, y)]
    if norms[1] <= FLAT * of_truth * np.sqrt(len(y)):
        return float("nan")
    if norms[0] <= FLAT * size * np.sqrt(len(x)):
        return 0.0
    return float(np.clip(x @ y / norms[0] / norms[1], -1, 1))


def _changes(data: Perturbations, split: Split, predicted: Doubles) -> list[Value]:
    """Per perturbation, over the genes that were measured: r of the change, r beyond the mean change of the training
    perturbations, and r of the genes that change most."""
    common = mean_change(data, split)
    found = []
    for row, x in zip(split.test, predicted, strict=True):
        y = data.change[row].astype(np.float64)
        known = np.isfinite(y)
        x, y, shared = x[known], y[known], common[known]
        top = np.argsort(-np.abs(y), kind="stable")[:TOP]
        values = (pearson(x, y), beyond(x, y, shared), pearson(x[top], y[top]))
        names = METRICS["perturbation"]
        found += [Value(data.perturbed[row], name, value) for name, value in zip(names, values, strict=True)]
    return found


def mean_change(data: Perturbations, split: Split) -> Doubles:
    """Mean change ``[G]`` of the training perturbations that measured it; 0 where none did."""
    change = data.change[split.train].astype(np.float64)
    known = np.isfinite(change)
    return np.asarray(np.where(known, change, 0.0).sum(0) / np.maximum(known.sum(0), 1))


def _responses(data: DrugResponse, split: Split, x: Doubles) -> list[Value]:
    """r and RMSE over all pairs, of which the held-out lines (or drugs) are the units; r across lines per drug."""
    y = data.response[split.test].astype(np.float64)
    drug, line = data.drug[split.test], data.line[split.test]
    held_out, names = (drug, data.drugs) if split.name == "drugs" else (line, data.lines)
    units, codes = np.unique(held_out, return_inverse=True)
    sums = np.stack([np.bincount(codes, each) for each in (np.ones_like(x), x, y, x * x, y * y, x * y)])  # [6, U]
    found = []
    for name, statistic in (("r", _r_of_sums), ("RMSE", _rmse_of_sums)):
        without = np.array([statistic(each) for each in (sums.sum(1, keepdims=True) - sums).T])
        values = jackknifed(statistic(sums.sum(1)), without)
        found += [Value(names[unit], name, float(value)) for unit, value in zip(units, values, strict=True)]
    for row in np.unique(drug):
        own = drug == row
        value = pearson(x[own], y[own]) if own.sum() >= FEWEST_PAIRS else np.nan
        found.append(Value(data.drugs[row], "r per drug", value))
    return found


def _r_of_sums(sums: Doubles) -> float:
    n, x, y, xx, yy, xy = sums
    if n < 2:
        return float("nan")
    of_x, of_y = xx - x * x / n, yy - y * y / n
    if of_y <= FLAT * yy:
        return float("nan")
    return 0.0 if of_x <= FLAT * xx else float((xy - x * y / n) / np.sqrt(of_x * of_y))


def _rmse_of_sums(sums: Doubles) -> float:
    n, _, _, xx, yy, xy = sums
    return float(np.sqrt(max(xx - 2 * xy + yy, 0.0) / n)) if n else float("nan")


def _classes(data: DrugClass, split: Split, x: Doubles) -> list[Value]:
    """AUROC and AUPRC: of the patient held out; or of all cells, in blocks that are the same in every split."""
    areas = rank(data.label[split.test], x, np.arange(len(x)), balanced=False)
    kinds: tuple[tuple[str, Callable[[Doubles | None], float]], ...] = (("AUROC", areas.auroc), ("AUPRC", areas.auprc))
    if split.fold:
        return [Value(split.fold, name, area(None)) for name, area in kinds]
    block = split.test % BLOCKS
    blocks = np.unique(block)
    found = []
    for name, area in kinds:
        without = np.array([area((block != each).astype(np.float64)) for each in blocks])
        values = jackknifed(area(None), without)
        found += [Value(f"block {each}", name, float(value)) for each, value in zip(blocks, values, strict=True)]
    return found


def jackknifed(whole: float, without: Doubles) -> Doubles:
    """Values of n units whose mean is `whole`, and whose spread is that of the metric without each of them ``[n]``."""
    if len(without) == 1:
        return np.array([whole])
    return np.asarray(whole + (len(without) - 1) * (without.mean() - without))
