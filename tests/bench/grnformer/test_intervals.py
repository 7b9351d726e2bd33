"""Intervals against plain loops, and whether 95 % of them hold what they should."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest
from bench.grnformer.intervals import interval, paired_interval
from scipy.stats import t as student

from ugrn.runtime.errors import InputError


def table(rows: list[tuple[int, str, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["seed", "unit", "value"], orient="row")


def slow(rows: list[tuple[int, str, float]]) -> tuple[float, float, float]:
    """Mean and interval, cluster by cluster."""
    n = len(rows)
    mean = sum(row[2] for row in rows) / n
    found, counts = [], []
    for key in (0, 1):
        clusters = sorted({row[key] for row in rows}, key=str)
        sums = [sum(row[2] - mean for row in rows if row[key] == cluster) for cluster in clusters]
        counts.append(len(clusters))
        found.append(counts[-1] / (counts[-1] - 1) * sum(each**2 for each in sums) / n**2)
    own = n / (n - 1) * sum((row[2] - mean) ** 2 for row in rows) / n**2
    half = student.ppf(0.975, min(counts) - 1) * max(*found, sum(found) - own) ** 0.5
    return mean, mean - half, mean + half


def test_an_interval_is_that_of_two_way_clusters(random: np.random.Generator) -> None:
    for _ in range(20):
        pairs = [pair for pair in product(range(5), "abcdefgh") if random.random() < 0.6]
        shifts = {key: float(random.normal()) for key in [*range(5), *"abcdefgh"]}
        rows = [(seed, unit, shifts[seed] + shifts[unit] + float(random.normal())) for seed, unit in pairs]
        found = interval(table(rows))
        assert (found.mean, found.low, found.high) == pytest.approx(slow(rows), abs=1e-12)


def test_one_seed_or_one_unit_is_a_plain_t_interval(random: np.random.Generator) -> None:
    values = random.normal(size=7)
    half = student.ppf(0.975, 6) * values.std(ddof=1) / 7**0.5
    of_units = interval(table([(0, str(place), value) for place, value in enumerate(values)]))
    of_seeds = interval(table([(place, "all", value) for place, value in enumerate(values)]))
    for found in (of_units, of_seeds):
        assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-12)


def test_a_single_value_has_no_interval_and_what_is_undefined_is_left_out() -> None:
    single = interval(table([(0, "a", 0.3), (1, "b", float("nan"))]))
    assert single.mean == 0.3
    assert np.isnan([single.low, single.high]).all()
    assert not single.above
    assert not single.below
    assert np.isnan(interval(table([(0, "a", float("nan"))])).mean)


def test_most_intervals_hold_the_mean() -> None:
    """Seeds and units that shift values, every seed with units of its own draw: 95 % or somewhat more."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        of_seed, of_unit = rng.normal(size=5), rng.normal(size=40)
        rows = [
            (seed, str(unit), float(of_seed[seed] + of_unit[unit] + rng.normal()))
            for seed in range(5)
            for unit in rng.permutation(40)[:8]
        ]
        found = interval(table(rows))
        held += found.low <= 0 <= found.high
    assert 0.92 < held / 400 <= 1


def test_a_paired_interval_is_that_of_the_differences(random: np.random.Generator) -> None:
    keys = list(product(range(3), "abcd"))
    a, b = random.normal(size=(2, len(keys)))
    left, right = ([(*key, float(value)) for key, value in zip(keys, each, strict=True)] for each in (a, b))
    rows = [(*key, float(value)) for key, value in zip(keys, a - b, strict=True)]
    found = paired_interval(table(left), table(right[::-1]))
    assert (found.mean, found.low, found.high) == pytest.approx(slow(rows), abs=1e-12)
    hidden = [(*left[0][:2], float("nan")), *left[1:]]
    assert paired_interval(table(hidden), table(right)).mean == pytest.approx(np.mean((a - b)[1:]))


def test_arms_on_other_seeds_or_units_are_refused() -> None:
    a, b = table([(0, "a", 1.0), (1, "a", 2.0)]), table([(0, "a", 1.0), (2, "a", 2.0)])
    with pytest.raises(InputError, match="2 of 3 values of two arms have no counterpart"):
        paired_interval(a, b)
