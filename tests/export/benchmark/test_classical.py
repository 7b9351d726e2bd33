"""Classical methods against plain loops, and on made data whose regulator is known."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from functools import partial

import numpy as np
import pytest
import scipy.stats
from scipy.optimize import brentq
from scipy.special import digamma
from sklearn.ensemble import GradientBoostingRegressor

from ugrn.export.benchmark.classical import METHODS, genie3, grnboost2, pidc
from ugrn.export.benchmark.datasets import DataSet
from ugrn.export.benchmark.methods import classical_group
from ugrn.export.benchmark.pidc import bayesian_blocks, confidence, puc, specific_information, summed_minima
from ugrn.runtime.errors import InputError

GENES = 8
SOURCES = np.array([4, 0, 2, 7])


def made(cells=120):
    """Gene 5 follows gene 0, half of the values of gene 1 are 0, gene 7 never varies; the rest is noise."""
    rng = np.random.default_rng(3)
    expression = rng.normal(size=(cells, GENES))
    expression[:, 5] = 2 * expression[:, 0] + 0.3 * rng.normal(size=cells)
    expression[: cells // 2, 1] = 0
    expression[:, 7] = 0.1
    return expression.astype(np.float32)


def fitness_of(partition, distinct, counts):
    """Fitness of blocks given as lists of neighbouring places in `distinct`, priors taken off."""
    total = 0.0
    for block in partition:
        first, last = block[0], block[-1]
        left = distinct[0] if first == 0 else (distinct[first - 1] + distinct[first]) / 2
        right = distinct[-1] if last == len(distinct) - 1 else (distinct[last] + distinct[last + 1]) / 2
        inside = sum(counts[place] for place in block)
        prior = 4 - math.log(73.53 * 0.05 * (last + 1) ** -0.478)
        total += inside * math.log(inside / (right - left)) - prior
    return total


@pytest.mark.parametrize("peaks", [0, 1, 2, 3])
def test_blocks_are_the_fittest_of_all_partitions(peaks, random):
    ties = [np.full(20, place) for place in random.uniform(0, 10, peaks)]
    values = np.concatenate([random.uniform(0, 10, 9 - peaks), *ties])
    random.shuffle(values)
    distinct, counts = np.unique(values, return_counts=True)
    places = range(len(distinct))
    best, fittest = -math.inf, None
    for cuts in itertools.chain.from_iterable(itertools.combinations(places[1:], n) for n in range(len(distinct))):
        bounds = [0, *cuts, len(distinct)]
        partition = [list(places[a:b]) for a, b in itertools.pairwise(bounds)]
        fitness = fitness_of(partition, distinct, counts)
        if fitness > best:
            best, fittest = fitness, partition
    number = {distinct[place]: index for index, block in enumerate(fittest) for place in block}
    assert bayesian_blocks(values).tolist() == [number[value] for value in values]
    assert len(fittest) > 1 or peaks == 0


def test_blocks_separate_modes_but_not_equal_values(random):
    values = np.concatenate([np.zeros(100), random.normal(5, 0.1, 100)])
    bins = bayesian_blocks(values)
    assert len(set(bins)) > 1
    assert not set(bins[:100]) & set(bins[100:])
    assert not bayesian_blocks(np.full(30, 0.1, np.float32)).any()


def loop_information(bins, target):
    """Per bin of the target: its probability and each gene's specific information."""
    cells, genes = bins.shape
    weights, information = [], []
    for z in sorted(set(bins[:, target])):
        inside = [cell for cell in range(cells) if bins[cell, target] == z]
        weights.append(len(inside) / cells)
        row = []
        for gene in range(genes):
            every = Counter(bins[:, gene].tolist())
            given = Counter(bins[inside, gene].tolist())
            conditional = {x: n / len(inside) for x, n in given.items()}
            row.append(sum(p * math.log(p / (every[x] / cells)) for x, p in conditional.items()))
        information.append(row)
    return np.array(weights), np.array(information)


def loop_mutual_information(a, b):
    joint, first, second = Counter(zip(a.tolist(), b.tolist(), strict=True)), Counter(a.tolist()), Counter(b.tolist())
    n = len(a)
    return sum(k / n * math.log(k * n / (first[x] * second[y])) for (x, y), k in joint.items())


def members_of(bins):
    return (bins[:, :, None] == np.arange(bins.max() + 1)).astype(np.float32)


def random_bins(random, cells=40, genes=6):
    """Some genes depend on each other, the last but one copies the first, the last is constant."""
    bins = random.integers(0, 4, (cells, genes))
    bins[:, 1] = np.where(random.random(cells) < 0.6, bins[:, 0], bins[:, 1])
    bins[:, 2] = np.where(random.random(cells) < 0.6, bins[:, 1], bins[:, 2]) + 2  # bins 0 and 1 stay empty
    bins[:, -2] = bins[:, 0]
    bins[:, -1] = 0
    return bins


def test_specific_and_mutual_information(random):
    bins = random_bins(random)
    for target in range(bins.shape[1]):
        weights, information = specific_information(members_of(bins), target)
        expected_weights, expected = loop_information(bins, target)
        np.testing.assert_allclose(weights, expected_weights)
        np.testing.assert_allclose(information, expected, atol=1e-12)
        mutual = [loop_mutual_information(bins[:, target], column) for column in bins.T]
        np.testing.assert_allclose(weights @ information, mutual, atol=1e-12)


def test_summed_minima(random):
    values = random.choice(random.random(5), (3, 9))  # with ties
    expected = [[sum(min(row[x], row[y]) for y in range(9) if y != x) for x in range(9)] for row in values]
    np.testing.assert_allclose(summed_minima(values), expected)


def loop_puc(bins):
    genes = bins.shape[1]
    scores = np.zeros((genes, genes))
    for z in range(genes):
        weights, information = loop_information(bins, z)
        for x, y in itertools.permutations([gene for gene in range(genes) if gene != z], 2):
            mutual = loop_mutual_information(bins[:, x], bins[:, z])
            redundancy = sum(w * min(row[x], row[y]) for w, row in zip(weights, information, strict=True))
            share = (mutual - redundancy) / mutual if mutual > 1e-12 else 0.0
            scores[x, z] += share
            scores[z, x] += share
    return scores


def test_puc_is_the_sum_over_all_triples(random):
    bins = random_bins(random)
    found = puc(bins)
    np.testing.assert_allclose(found, loop_puc(bins), atol=1e-9)
    assert found[0, 1] > 0
    assert not found[-1].any()


def test_confidence_is_the_sum_of_two_gamma_distributions(random):
    upper = np.triu(random.gamma(2.0, 3.0, (7, 7)), 1)
    scores = upper + upper.T
    scores[6, :] = scores[:, 6] = 0
    scores[5, 4] = scores[4, 5] = 0
    ranks = np.zeros((7, 7))
    for gene in range(6):
        positive = [score for score in scores[gene] if score > 0]
        mean = sum(positive) / len(positive)
        gap = math.log(mean) - sum(map(math.log, positive)) / len(positive)
        shape = brentq(lambda k, gap=gap: math.log(k) - digamma(k) - gap, 1e-3, 1e6, rtol=1e-14)
        ranks[gene] = [scipy.stats.gamma.cdf(score, shape, scale=mean / shape) for score in scores[gene]]
    np.testing.assert_allclose(confidence(scores), ranks + ranks.T, atol=1e-6)
    assert not confidence(np.full((4, 4), 2.0)).any()  # equal scores have no rank


def test_pidc_is_its_steps():
    expression = made()
    bins = np.stack([bayesian_blocks(column) for column in expression.T], axis=1)
    expected = confidence(loop_puc(bins))[SOURCES]
    expected[np.arange(4), SOURCES] = np.nan
    found = pidc(expression, SOURCES)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.nanargmax(found[1]) == 5


def test_correlations(random):
    expression = random.normal(size=(50, 6)).astype(np.float32)
    expression[random.random((50, 6)) < 0.4] = 0  # ties
    sources = np.array([5, 1])
    wide = expression.astype(np.float64)
    for name, expected in (("Pearson", np.corrcoef(wide.T)), ("Spearman", scipy.stats.spearmanr(wide).statistic)):
        found = METHODS[name](expression, sources)
        expected = np.abs(expected[sources])
        expected[[0, 1], sources] = np.nan
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_every_method(name):
    calls = []
    expression = made()
    found = METHODS[name](expression, SOURCES, progress=lambda done, total: calls.append((done, total)))
    assert found.shape == (4, GENES)
    assert found.dtype == np.float32
    own = SOURCES[:, None] == np.arange(GENES)
    assert np.array_equal(np.isnan(found), own)
    assert np.nanargmax(found[:, 5]) == 1  # of all sources, gene 0 explains gene 5 best
    assert not np.nan_to_num(found)[:, 7].any()
    assert not np.nan_to_num(found)[3].any()
    assert calls[-1][0] == calls[-1][1] == len({done for done, _ in calls}) or name in ("Pearson", "Spearman")
    np.testing.assert_array_equal(expression, made())


@pytest.mark.parametrize("method", [genie3, grnboost2])
def test_trees_depend_on_the_seed_and_not_on_the_workers(method):
    expression = made(60)
    one = method(expression, SOURCES, seed=5)
    np.testing.assert_array_equal(method(expression, SOURCES, n_jobs=2, seed=5), one)
    assert not np.array_equal(method(expression, SOURCES, seed=6), one, equal_nan=True)


def test_genie3_shares_out_the_variance_and_converges():
    expression = made()
    found = genie3(expression, SOURCES)
    shares = np.nansum(found, axis=0)
    assert (shares[:7] > 0.8).all()
    assert (shares < 1.2).all()  # unit variance, up to the draw of cells
    more = genie3(expression, SOURCES, seed=1, trees=200)
    assert np.nanmax(np.abs(found - more)) < 0.1


def test_grnboost2_stops_by_the_published_rule():
    expression, target, seed = made(), 5, 11
    found = grnboost2(expression, SOURCES, seed=seed)[:, target]
    rounds = round(float(found.sum()))  # each tree's share is one
    predictors, values = expression[:, SOURCES], expression[:, target].astype(np.float64)
    values /= values.std()
    draw = int(np.random.SeedSequence([seed, target]).generate_state(1)[0])
    model = GradientBoostingRegressor(
        learning_rate=0.01, n_estimators=rounds, max_features=0.1, subsample=0.9, random_state=draw
    )
    outside = []
    model.fit(predictors, values, monitor=lambda tree, model, state: outside.append(~state["sample_mask"]))
    stages = [np.full(len(values), values.mean()), *model.staged_predict(predictors)]
    gains = []
    for before, after, out in zip(stages, stages[1:], outside, strict=False):
        assert out.sum() == 12
        gains.append(np.mean((values - before)[out] ** 2) - np.mean((values - after)[out] ** 2))
    means = [np.mean(gains[last - 24 : last + 1]) for last in range(24, rounds)]
    assert means[-1] < 0
    assert all(mean >= 0 for mean in means[:-1])
    np.testing.assert_allclose(found, model.feature_importances_ * rounds, rtol=1e-4)


def test_grnboost2_goes_on_while_it_learns():
    found = grnboost2(made(), SOURCES)
    assert np.nansum(found[:, 5]) > 150 > 100 > np.nansum(found[:, 6])


@pytest.mark.parametrize("name", METHODS)
def test_a_source_alone(name):
    expression = made(40)
    found = METHODS[name](expression, np.array([0]))
    assert np.isnan(found[0, 0])
    assert np.isfinite(found[0, 1:]).all()
    assert METHODS[name](expression, np.array([], np.int64)).shape == (0, GENES)


@pytest.mark.parametrize("name", METHODS)
def test_bad_input_is_named(name):
    expression = made(20)
    with pytest.raises(InputError, match="0 to 7"):
        METHODS[name](expression, np.array([8]))
    expression[3, 4] = np.nan
    with pytest.raises(InputError, match="1 values not finite"):
        METHODS[name](expression, SOURCES)
    with pytest.raises(InputError, match=r"\(1, 8\)"):
        METHODS[name](expression[:1], SOURCES)


def test_slow_methods_are_asked_for_the_smallest_panel(
    bench_data: dict[str, DataSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bench_data["test"]
    small = data.networks["string", 500].genes
    assert data.of_smallest_panel.tolist() == sorted(small)
    assert len(small) < len(data.genes)
    monkeypatch.setattr("ugrn.export.benchmark.classical.METHODS", METHODS | {"GENIE3": partial(genie3, trees=5)})
    for name, asked in (("GENIE3", small), ("Pearson", range(len(data.genes)))):
        found = classical_group(name, 1, 0).score(data, lambda *_: None).scores[name]
        known = ~np.isnan(found)
        assert known.any(0).tolist() == [gene in set(asked) for gene in range(len(data.genes))]
        assert known[:, list(asked)].sum() == len(asked) * len(data.sources) - len(data.sources)
