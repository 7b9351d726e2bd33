"""Metrics of the benchmark against scikit-learn and plain loops, on random pairs with many ties."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from ugrn.export.benchmark import metrics
from ugrn.export.benchmark.metrics import (
    Ranking,
    auprc_ratio,
    bootstrap_auprc,
    direction_accuracy,
    early_precision_ratio,
    interval,
    rank,
    resampled_auprc,
    within_source_auprc,
)
from ugrn.runtime.errors import InputError

SEEDS = range(8)


class Pairs(NamedTuple):
    labels: np.ndarray
    scores: np.ndarray
    sources: np.ndarray

    def of(self, rows: np.ndarray) -> Pairs:
        return Pairs(*(column[rows] for column in self))


def made(seed: int, pairs: int = 120, sources: int = 9, share: float = 0.4) -> Pairs:
    """Random pairs whose scores know a little and are tied in a dozen values; source numbers have gaps."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(pairs) < share).astype(np.int64)
    labels[:2] = 0, 1
    scores = np.round(rng.normal(size=pairs) + labels, rng.integers(2)).astype(np.float32)
    return Pairs(labels, scores, 7 * rng.integers(sources, size=pairs) - 5)


def even(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights scaled so that each class weighs one."""
    return weights * np.where(labels == 1, 1 / weights[labels == 1].sum(), 1 / weights[labels == 0].sum())


def area(pairs: Pairs, balanced: bool, weights: np.ndarray | None = None) -> float:
    """scikit-learn's average precision, or nan if a class has no weight."""
    weights = np.ones(len(pairs.labels)) if weights is None else weights
    if min(weights[pairs.labels == label].sum() for label in (0, 1)) == 0:
        return float("nan")
    weights = even(pairs.labels, weights) if balanced else weights
    return float(average_precision_score(pairs.labels, pairs.scores, sample_weight=weights))


def resampled_slowly(methods: list[Pairs], balanced: bool, draws: int, seed: int) -> np.ndarray:
    """Each draw's pairs written out, a source drawn twice with its pairs twice."""
    names = np.unique(np.concatenate([pairs.sources for pairs in methods]))
    drawn = names[np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))]
    means = []
    for draw in drawn:
        areas = []
        for pairs in methods:
            times = np.array([(draw == source).sum() for source in pairs.sources])
            areas.append(area(pairs.of(np.repeat(np.arange(len(times)), times)), balanced))
        means.append(np.mean(areas))
    return np.array(means)


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_areas_are_those_of_scikit_learn(seed: int, balanced: bool) -> None:
    pairs = made(seed)
    ranking = rank(*pairs, balanced)
    rng = np.random.default_rng([seed, 1])
    some_zero = rng.random(120) * rng.integers(0, 2, 120)
    for weights in (None, rng.random(120), some_zero, rng.integers(0, 4, 120), 1e-9 * rng.random(120)):
        assert ranking.auprc(weights) == pytest.approx(area(pairs, balanced, weights), abs=1e-12)
        expected = roc_auc_score(pairs.labels, pairs.scores, sample_weight=weights)
        assert ranking.auroc(weights) == pytest.approx(expected, abs=1e-12)


def test_areas_without_ties_and_with_one_tie() -> None:
    rng = np.random.default_rng(0)
    labels, sources = rng.integers(0, 2, 50), np.zeros(50, np.int64)
    for scores in (rng.permutation(50), np.full(50, 3), np.where(rng.random(50) < 0.5, -np.inf, np.inf)):
        ranking = rank(labels, scores, sources, balanced=True)
        finite = np.clip(scores, -100, 100)  # scikit-learn takes no infinite scores
        assert ranking.auprc() == pytest.approx(area(Pairs(labels, finite, sources), balanced=True), abs=1e-12)
        assert ranking.auroc() == pytest.approx(roc_auc_score(labels, finite), abs=1e-12)
    everything_tied = rank(labels, np.zeros(50), sources, balanced=True)
    assert everything_tied.auprc() == everything_tied.auroc() == 0.5


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("block", [1, 300, 1 << 15])
def test_bootstrap_is_a_plain_loop(seed: int, balanced: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "BLOCK", block)  # one draw at a time, a few, all
    first, second = ([made(10 * seed + method + 100 * k) for k in range(3)] for method in (0, 1))
    fast = [[rank(*pairs, balanced) for pairs in method] for method in (first, second)]
    slow = [resampled_slowly(method, balanced, draws=20, seed=seed) for method in (first, second)]
    for rankings, expected in zip(fast, slow, strict=True):
        np.testing.assert_allclose(resampled_auprc(rankings, 20, seed), expected, atol=1e-12)
        low, high = np.percentile(expected, [2.5, 97.5])
        assert bootstrap_auprc(rankings, 20, seed) == pytest.approx((low, high), abs=1e-12)


def test_rankings_may_lack_sources_and_draws_may_lack_a_class() -> None:
    few = [made(seed, pairs=12, sources=5) for seed in range(4)]
    assert len({tuple(np.unique(pairs.sources)) for pairs in few}) > 1
    slow = resampled_slowly(few, balanced=True, draws=200, seed=3)
    assert 0 < np.isnan(slow).sum() < 200
    rankings = [rank(*pairs, balanced=True) for pairs in few]
    np.testing.assert_allclose(resampled_auprc(rankings, 200, seed=3), slow, atol=1e-12)
    assert bootstrap_auprc(rankings, 200, seed=3) == pytest.approx(tuple(np.nanpercentile(slow, [2.5, 97.5])))


def test_draws_depend_on_seed_and_sources_only() -> None:
    ranking, other = rank(*made(0), balanced=True), rank(*made(1), balanced=False)
    values = resampled_auprc([ranking], 50, seed=4)
    assert np.array_equal(values[:20], resampled_auprc([ranking], 20, seed=4))  # fewer draws are the first of them
    assert not np.array_equal(values, resampled_auprc([ranking], 50, seed=5))
    together = (values + resampled_auprc([other], 50, seed=4)) / 2
    np.testing.assert_allclose(resampled_auprc([ranking, other], 50, seed=4), together, rtol=1e-15)


@pytest.mark.parametrize("seed", SEEDS)
def test_order_of_pairs_changes_nothing(seed: int) -> None:
    pairs = made(seed)
    order = np.random.default_rng([seed, 2]).permutation(120)
    weights = np.random.default_rng([seed, 3]).random(120)
    for balanced in (True, False):
        here, there = rank(*pairs, balanced), rank(*pairs.of(order), balanced)
        assert here.auprc() == there.auprc()
        assert here.auroc() == there.auroc()
        assert here.auprc(weights) == pytest.approx(there.auprc(weights[order]), abs=1e-12)
        assert bootstrap_auprc([here]) == bootstrap_auprc([there])
        assert within_source_auprc(*pairs, balanced) == within_source_auprc(*pairs.of(order), balanced)
    assert early_precision_ratio(*pairs[:2]) == early_precision_ratio(*pairs.of(order)[:2])


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_within_source_is_a_loop_over_sources(seed: int, balanced: bool) -> None:
    pairs = made(seed, pairs=60, sources=20)
    areas = [area(pairs.of(pairs.sources == source), balanced) for source in np.unique(pairs.sources)]
    assert np.isnan(areas).any()
    assert within_source_auprc(*pairs, balanced) == pytest.approx(np.nanmean(areas), abs=1e-12)
    alone = rank(pairs.labels, pairs.scores, np.zeros(60), balanced)
    together = within_source_auprc(pairs.labels, pairs.scores, np.zeros(60), balanced)
    assert together == pytest.approx(alone.auprc(), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_early_precision_is_the_mean_over_orders_of_ties(seed: int) -> None:
    pairs = made(seed, pairs=40, share=0.2)
    edges, rng = int(pairs.labels.sum()), np.random.default_rng(seed)
    hits = []
    for _ in range(4000):
        order = rng.permutation(40)
        best = order[np.argsort(-pairs.scores[order], kind="stable")][:edges]
        hits.append(pairs.labels[best].sum())
    error = np.std(hits) / np.sqrt(len(hits)) / edges / (edges / 40)
    expected = np.mean(hits) / edges / (edges / 40)
    assert early_precision_ratio(pairs.labels, pairs.scores) == pytest.approx(expected, abs=5 * error + 1e-12)


def test_ratios_of_small_examples() -> None:
    labels, scores = np.array([1, 0, 0, 0, 1, 0, 0, 0]), np.array([9, 5, 5, 5, 5, 0, 0, 0])
    # One edge is surely among the two best, the other with a chance of one in four; the share of edges is 1/4.
    assert early_precision_ratio(labels, scores) == pytest.approx((1 + 1 / 4) / 2 * 4)
    assert auprc_ratio(rank(labels, scores, np.zeros(8), balanced=False)) == pytest.approx((1 + 2 / 5) / 2 * 4)
    assert auprc_ratio(rank(labels, np.zeros(8), np.zeros(8), balanced=False)) == 1
    assert auprc_ratio(rank(labels, np.zeros(8), np.zeros(8), balanced=True)) == 1


def test_direction_accuracy_counts_ties_one_half() -> None:
    assert direction_accuracy([3, 1, 2, -np.inf], [1, 2, 2, -np.inf]) == 0.5
    assert direction_accuracy([3, 3, 2], [1, 2, 2]) == pytest.approx(2.5 / 3)
    assert np.isnan(direction_accuracy([], []))


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [1, 1, 1, 1], []], ids=["no edges", "only edges", "no pairs"])
def test_without_both_classes_everything_is_nan(labels: list[int], balanced: bool) -> None:
    scores, sources = np.arange(len(labels)), np.arange(len(labels)) // 2
    ranking = rank(labels, scores, sources, balanced)
    values = (
        ranking.auprc(),
        ranking.auprc(np.zeros(len(labels))),
        ranking.auroc(),
        auprc_ratio(ranking),
        early_precision_ratio(labels, scores),
        within_source_auprc(labels, scores, sources, balanced),
        *bootstrap_auprc([ranking, ranking]),
    )
    assert np.isnan(values).all()


@pytest.mark.parametrize("balanced", [True, False])
def test_one_source_has_no_interval(balanced: bool) -> None:
    ranking = rank([0, 1, 1], [1, 2, 0], [4, 4, 4], balanced)
    assert np.isfinite(ranking.auprc())
    assert np.isnan(bootstrap_auprc([ranking])).all()
    assert np.isnan(interval(np.full(3, np.nan))).all()
    assert np.isnan(ranking.auprc([1, 0, 0]))  # no weight is left for the edges
    assert np.isnan(ranking.auroc([1, 0, 0]))


def test_bad_columns_are_refused() -> None:
    with pytest.raises(InputError, match="one value per pair"):
        rank([0, 1], [1, 2, 3], [0, 0], balanced=True)
    with pytest.raises(InputError, match="one value per pair"):
        direction_accuracy([1, 2], [1])
    with pytest.raises(InputError, match="1 of 2 pairs have a nan"):
        within_source_auprc([0, 1], [1, np.nan], [0, 0], balanced=True)
    with pytest.raises(InputError, match="one value per pair"):
        rank([0, 1], [1, 2], [0, 0], balanced=True).auprc([1])


def test_ranking_says_what_it_is() -> None:
    ranking = rank([1, 0, 1, 0], [2, 2, 5, 9], [3, 8, 3, 3], balanced=True)
    assert isinstance(ranking, Ranking)
    assert ranking.names.tolist() == [3, 8]
    assert [ranking.found.tolist(), ranking.reached.tolist(), ranking.above.tolist()] == [
        [0, 1, 2],
        [0, 1, 2],
        [0, 1, 1],
    ]
    assert ranking.auprc_of_draws(np.array([[2, 0, 0], [1, 1, 0]])).tolist() == [
        ranking.auprc([2, 0, 2, 2]),
        ranking.auprc(),
    ]
