"""95 % intervals of means over seeds and units, and of the difference of two arms.

A value belongs to a seed (a split, and a training on it) and to a unit (a perturbation, a drug, a patient that was
tested). Values of one seed share a training, those of one unit share what is tested, and random splits of several
seeds test the same units again; so neither are the values independent of each other, nor are the seeds. The variance of
their mean is therefore that of two-way clusters (Cameron, Gelbach and Miller 2011, doi:10.1198/jbes.2010.07136):

    V = V_seed + V_unit - V_value,   V_c = C / (C - 1) * sum over clusters c of (sum of residuals)^2 / n^2

with C clusters, and never less than the larger of V_seed and V_unit, as V_value may by chance be too large. The
interval is the mean ± t * sqrt(V), with t of min(C_seed, C_unit) - 1 degrees of freedom: with five seeds it is wide,
and it is meant to be. Where there is one seed or one unit alone, the other one decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student

from ugrn.runtime.arrays import Doubles
from ugrn.runtime.errors import InputError

CELL = ["seed", "unit"]


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; nan ends where nothing says how sure it is, e.g. of a single value."""

    mean: float
    low: float
    high: float

    @property
    def above(self) -> bool:
        """True where it lies wholly above zero."""
        return self.low > 0

    @property
    def below(self) -> bool:
        """True where it lies wholly below zero."""
        return self.high < 0


def interval(values: pl.DataFrame) -> Interval:
    """The interval of a mean.

    Args:
        values: columns seed, unit and value; one row to a seed and unit. What is undefined (nan) is left out.
    """
    known = values.filter(pl.col("value").is_finite())
    value = known["value"].to_numpy().astype(np.float64)
    if len(value) == 0:
        return Interval(np.nan, np.nan, np.nan)
    codes = [np.unique(known[name].to_numpy(), return_inverse=True)[1] for name in CELL]
    residuals = value - value.mean()
    counts = [int(code.max()) + 1 for code in codes]
    several = [(count, _variance(residuals, code)) for code, count in zip(codes, counts, strict=True) if count > 1]
    if not several:
        return Interval(float(value.mean()), np.nan, np.nan)
    variance = max(each for _, each in several)
    if len(several) > 1:
        cells = _variance(residuals, np.arange(len(value)))
        variance = max(variance, sum(each for _, each in several) - cells)
    half = float(student.ppf(0.975, min(count for count, _ in several) - 1) * np.sqrt(variance))
    mean = float(value.mean())
    return Interval(mean, mean - half, mean + half)


def paired_interval(a: pl.DataFrame, b: pl.DataFrame) -> Interval:
    """The interval of the mean of a - b, two arms on the same seeds and units.

    Args:
        a, b: as for `interval`. What is undefined in one is left out of both.

    Raises:
        InputError: one has a seed or unit that the other lacks.
    """
    both = a.select(*CELL, "value").join(b.select(*CELL, other="value"), on=CELL, how="full", coalesce=True)
    alone = both.filter(pl.col("value").is_null() | pl.col("other").is_null())
    if len(alone):
        message = (
            f"{len(alone)} of {len(both)} values of two arms have no counterpart, first: {alone.row(0)}; expected both "
            "arms on the same seeds and units: run them with the same settings"
        )
        raise InputError(message)
    return interval(both.select(*CELL, value=pl.col("value") - pl.col("other")))


def _variance(residuals: Doubles, codes: NDArray[np.integer]) -> float:
    """Of the mean, where values of one cluster depend on each other."""
    sums = np.bincount(codes, residuals)
    return float(len(sums) / (len(sums) - 1) * (sums**2).sum() / len(residuals) ** 2)
