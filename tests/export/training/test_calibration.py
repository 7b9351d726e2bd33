"""Calibration of probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from ugrn.export.training.calibration import brier, calibration_error, choose_calibration, reliability
from ugrn.runtime.translator.translator import sigmoid


def test_calibration_is_chosen_by_cross_validation_and_helps() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    overconfident = (4 * truth + 1).astype(np.float32)
    calibration, report = choose_calibration(overconfident, labels, np.ones(4000, np.float32), seed=0)
    assert calibration.kind in ("platt", "isotonic")
    assert report["before"]["ece"] > 0.1
    assert report["after"]["ece"] < 0.03
    assert report["after"]["brier"] < report["before"]["brier"]
    for when in ("before", "after"):  # the bins that a reliability diagram draws
        bins = report[when]["bins"]
        assert sum(each["weight"] for each in bins) == pytest.approx(1)
        gaps = [abs(each["observed"] - each["probability"]) * each["weight"] for each in bins]
        assert sum(gaps) == pytest.approx(report[when]["ece"])
    p = sigmoid(calibration(overconfident))
    order = np.argsort(overconfident)
    assert (np.diff(p[order]) >= 0).all()


def test_calibration_does_not_fit_noise() -> None:
    kinds = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=800).astype(np.float32)
        labels = (rng.random(800) < sigmoid(logits)).astype(np.float32)
        calibration, report = choose_calibration(logits, labels, np.ones(800, np.float32), seed)
        kinds.append(calibration.kind)
        assert set(report["tried"]) == {"none", "temperature", "platt", "isotonic"}
    assert kinds.count("none") >= 14


def test_calibration_error_against_plain_loops() -> None:
    rng = np.random.default_rng(0)
    labels, p = rng.integers(0, 2, 1000).astype(float), rng.random(1000)
    order = np.argsort(p)
    expected = sum(
        abs(labels[order[i : i + 100]].mean() - p[order[i : i + 100]].mean()) * 0.1 for i in range(0, 1000, 100)
    )
    assert calibration_error(labels, p, np.ones(1000)) == pytest.approx(expected)
    assert brier(labels, p, np.ones(1000)) == pytest.approx(
        np.mean([(a - b) ** 2 for a, b in zip(labels, p, strict=True)])
    )


@pytest.mark.parametrize("seed", range(8))
def test_reliability_is_what_calibration_error_sums(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random(120) < 0.4).astype(np.int64)
    probabilities = 1 / (1 + np.exp(-np.round(rng.normal(size=120) + labels, rng.integers(2))))
    weights = rng.random(120)
    for bins in (1, 4, 10, 200):
        rows = reliability(labels, probabilities, weights, bins)
        error = sum(row["weight"] * abs(row["observed"] - row["probability"]) for row in rows)
        assert error == pytest.approx(calibration_error(labels, probabilities, weights, bins), abs=1e-12)
        assert sum(row["weight"] for row in rows) == pytest.approx(1)
    mean = reliability(labels, probabilities, weights, bins=1)[0]
    assert mean["probability"] == pytest.approx(np.average(probabilities, weights=weights))
    assert mean["observed"] == pytest.approx(np.average(labels, weights=weights))


def test_reliability_leaves_out_groups_without_weight() -> None:
    labels, probabilities = np.array([0, 1]), np.array([0.2, 0.6])
    expected = [{"probability": 0.6, "observed": 1.0, "weight": 1.0}]
    assert reliability(labels, probabilities, np.array([0, 2])) == expected
    assert reliability(labels, probabilities, np.zeros(2)) == reliability(*np.zeros((3, 0))) == []
