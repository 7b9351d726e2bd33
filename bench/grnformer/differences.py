"""The gain by an arm's network: its metrics less those of another arm, on the same seeds and units.

An *arm* is one model of a task: a baseline, or the backbone with an adapter over one kind of network. A *place* is a
task, a data set and a split. An arm is *ahead* of another where the 95 % interval of the difference lies wholly on the
better side of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ugrn.export.benchmark.tables import in_order

from .data import KINDS, TaskKind
from .intervals import Interval, paired_interval
from .metrics import LOWER_IS_BETTER, METRICS

NONE, RANDOM = "none", "random"
BOTH, UGRN = "both", "ugrn"
BY_STATE = ("cell-type", "cell-specific", BOTH)  # arms whose networks are not the same in all cells
LIKE = {arm: f"{RANDOM} {arm}" for arm in BY_STATE}  # the random network of the same kind; of other arms `RANDOM`
CONTROLS = (NONE, "no edges", RANDOM, *LIKE.values())
NETWORKS = ("co-expression", "text", UGRN, *BY_STATE)
ARMS = (*CONTROLS, *NETWORKS)


@dataclass(frozen=True)
class Place:
    """A task, a data set and a split, in which arms are compared, and the rows of the results there."""

    task: TaskKind
    data: str
    split: str
    rows: pl.DataFrame

    @property
    def arms(self) -> list[str]:
        """The adapters' arms, in the order of `ARMS`."""
        return in_order(self.rows.filter(kind="adapter")["arm"], ARMS)

    def of(self, arm: str, metric: str) -> pl.DataFrame:
        """The values of an arm: seed, unit, value."""
        return self.rows.filter(arm=arm, metric=metric).select("seed", "unit", "value")


@dataclass(frozen=True)
class Difference:
    """An arm less another, by a metric, with its interval; `minus` is `RANDOM` for random networks of every kind."""

    place: Place
    arm: str
    minus: str
    metric: str
    interval: Interval

    @property
    def ahead(self) -> bool:
        """True where the arm is better than the other, beyond doubt."""
        return self.interval.below if self.metric in LOWER_IS_BETTER else self.interval.above

    @property
    def behind(self) -> bool:
        """True where it is worse, beyond doubt."""
        return self.interval.above if self.metric in LOWER_IS_BETTER else self.interval.below


def places(results: pl.DataFrame) -> list[Place]:
    """All places of the results, task after task, as they come."""
    found = []
    for task in KINDS:
        rows = results.filter(task=task)
        for data, split in rows.select("data", "split").unique(maintain_order=True).rows():
            found.append(Place(task, data, split, rows.filter(data=data, split=split)))
    return found


def differences(place: Place, minus: Sequence[str] = (RANDOM, NONE), metrics: Sequence[str] = ()) -> list[Difference]:
    """Every network's arm less each of some others that are there, by some metrics; all of the task by default.

    What is taken off for `RANDOM` is the random network of the arm's own kind.

    Raises:
        InputError: two arms were not run on the same seeds and units.
    """
    return [
        Difference(place, arm, other, metric, paired_interval(place.of(arm, metric), place.of(taken_off, metric)))
        for arm in place.arms
        if arm not in CONTROLS
        for metric in metrics or METRICS[place.task]
        for other in minus
        if (taken_off := LIKE.get(arm, other) if other == RANDOM else other) in place.arms
    ]


def first_metric(task: TaskKind) -> str:
    """The metric that decides: GRNFormer's."""
    return METRICS[task][0]


def judged_arm(place: Place) -> str | None:
    """The arm that stands for the biology, chosen before any result is seen: both networks where there are both, else
    ugrn's."""
    return next((arm for arm in (BOTH, UGRN) if arm in place.arms), None)
