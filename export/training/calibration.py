"""Calibration: from a translator's logits to probabilities that mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ugrn.runtime.arrays import Array, Doubles
from ugrn.runtime.translator.translator import Calibration, CalibrationKind, sigmoid


def reliability(
    labels: NDArray[Any], probabilities: NDArray[Any], weights: NDArray[Any], bins: int = 10
) -> list[dict[str, float]]:
    """Mean ``probability``, ``observed`` share of edges and share of the ``weight``, per group of equal weight.

    Args:
        labels, probabilities, weights: of pairs, ``[N]`` each.
        bins: number of groups.

    Groups without weight are left out, so there may be fewer than `bins`.
    """
    if not weights.any():
        return []
    order = np.argsort(probabilities, kind="stable")
    weight = weights[order]
    group = np.minimum((np.cumsum(weight) / weight.sum() * bins - 1e-9).astype(int), bins - 1)
    columns = (np.ones(len(order)), probabilities[order], labels[order])
    sums = [np.bincount(group, weight * column) for column in columns]
    return [
        {"probability": float(p / total), "observed": float(edges / total), "weight": float(total / weight.sum())}
        for total, p, edges in zip(*sums, strict=True)
        if total > 0
    ]


def calibration_error(
    labels: NDArray[Any], probabilities: NDArray[Any], weights: NDArray[Any], bins: int = 10
) -> float:
    """Expected calibration error of pairs ``[N]``, over `bins` groups of equal weight (Naeini et al. 2015)."""
    groups = reliability(labels, probabilities, weights, bins)
    return sum(abs(each["observed"] - each["probability"]) * each["weight"] for each in groups)


def brier(labels: NDArray[Any], probabilities: NDArray[Any], weights: NDArray[Any]) -> float:
    """Weighted mean squared difference of probability ``[N]`` and label ``[N]``."""
    return float(np.average((probabilities - labels) ** 2, weights=weights))


def choose_calibration(logits: Array, labels: Array, weights: Array, seed: int) -> tuple[Calibration, dict[str, Any]]:
    """The simplest calibration whose cross-validated Brier score is the best but for noise, refitted on all pairs.

    Args:
        logits, labels, weights: of pairs, ``[N]`` each.
        seed: of the folds.

    Noise is one standard error of the paired difference, as in the one-standard-error rule of Breiman et al.
    (1984): isotonic steps fitted to noise tie pairs that the logits tell apart.

    Returns:
        The calibration, and per kind the cross-validated expected calibration error and Brier score; before and
        after the chosen one also the ``bins`` of a reliability diagram.
    """
    rng = np.random.default_rng(seed)
    fold = rng.integers(0, 5, len(logits))
    scores: dict[str, dict[str, float]] = {}
    errors: dict[str, Doubles] = {}
    bins: dict[str, list[dict[str, float]]] = {}
    kinds: tuple[CalibrationKind, ...] = ("none", "temperature", "platt", "isotonic")
    for kind in kinds:
        outside = np.empty_like(logits)
        for index in range(5):
            rest, part = fold != index, fold == index
            fitted = fit_calibration(kind, logits[rest], labels[rest], weights[rest])
            outside[part] = fitted(logits[part])
        p = sigmoid(outside)
        errors[kind] = (p.astype(np.float64) - labels) ** 2
        scores[kind] = {"ece": calibration_error(labels, p, weights), "brier": brier(labels, p, weights)}
        bins[kind] = reliability(labels, p, weights)
    best = min(kinds, key=lambda kind: scores[kind]["brier"])
    chosen = next(kind for kind in kinds if _no_worse(errors[kind] - errors[best], weights))
    before, after = ({**scores[kind], "bins": bins[kind]} for kind in ("none", chosen))
    report = {"kind": chosen, "before": before, "after": after, "tried": scores}
    return fit_calibration(chosen, logits, labels, weights), report


def _no_worse(excess: Doubles, weights: NDArray[Any]) -> bool:
    """True where the mean of paired differences is within one standard error of zero, or below."""
    mean = np.average(excess, weights=weights)
    error = np.sqrt(np.sum((weights * (excess - mean)) ** 2)) / np.sum(weights)
    return bool(mean <= error)


def fit_calibration(kind: CalibrationKind, logits: Array, labels: Array, weights: Array) -> Calibration:
    """Fit one kind of calibration map to logits ``[N]`` and labels ``[N]``."""
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    if kind == "none":
        return Calibration(kind, one, zero)
    if kind == "isotonic":
        iso = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        iso.fit(logits, labels, sample_weight=weights)
        return Calibration(kind, iso.X_thresholds_.astype(np.float32), iso.y_thresholds_.astype(np.float32))
    model = LogisticRegression(C=1e6, fit_intercept=kind == "platt")
    model.fit(logits[:, None], labels, sample_weight=weights)
    slope = max(float(model.coef_[0, 0]), 1e-3)
    intercept = float(np.ravel(model.intercept_)[0]) if kind == "platt" else 0.0
    return Calibration(kind, np.full(1, slope, np.float32), np.full(1, intercept, np.float32))
