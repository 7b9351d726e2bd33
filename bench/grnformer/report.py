"""The report of the downstream tasks in Markdown; its first line says whether the biology beats the random network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import polars as pl

from ugrn.export.benchmark.tables import DASH, Cell, Grid, best_of, cells_of, in_order, plain, to_markdown

from .data import KINDS
from .differences import (
    ARMS,
    RANDOM,
    Difference,
    Place,
    differences,
    first_metric,
    judged_arm,
    places,
)
from .intervals import Interval, interval
from .metrics import LOWER_IS_BETTER, METRICS
from .results import check_results

NOTES = {
    "perturbation": (
        "r: Pearson correlation of predicted and measured change over genes, mean over held-out perturbations. "
        "r beyond mean: the same after the regression on the training perturbations' mean change is taken off both, so "
        "that what every perturbation does counts for nothing. r top 20: over the 20 genes that change most."
    ),
    "drug-response": (
        "r: Pearson correlation over all held-out pairs. r per drug: across lines, mean over drugs, so that a drug's "
        "mean counts for nothing. RMSE: in natural logarithms, lower is better."
    ),
    "drug-class": "AUROC: chance is 0.5. AUPRC: chance is the share of treated cells.",
}
RULE = (
    "An arm beats another where the 95 % interval of their paired difference (the same seeds and units) lies wholly on "
    "the better side of zero; of forty such intervals one does so by chance alone, and nothing is corrected for their "
    "number. What stands for the biology was fixed before: the arm `both` where there is one, else `ugrn`; and the "
    "metric, the first of each task. `random` is for every arm the random network of its kind: `random both` for "
    "`both`, which knows the same cell types and active regulons and has as many parameters, and so on. Intervals are "
    "of means over seeds and units, with the variance of two-way clusters and t of min(seeds, units) - 1 degrees of "
    "freedom."
)


def report(results: pl.DataFrame, cautions: Mapping[str, Sequence[str]] | None = None) -> str:
    """The verdict, every table, and what to be careful about.

    Args:
        results: rows of `results.SCHEMA`.
        cautions: by data set.

    Raises:
        InputError: no table can be made of the results, or arms were not run on the same seeds and units.
    """
    check_results(results)
    found = places(results)
    judged = [each for place in found for each in differences(place, (RANDOM,), (first_metric(place.task),))]
    parts = [verdict(found, judged), RULE]
    if judged:
        parts += ["## Networks against the random network", COUNTS, counts(judged)]
    for place in found:
        parts += [f"## {place.task}: {plain(place.data)}, held-out {place.split}", NOTES[place.task]]
        parts += [f"- {plain(each)}" for each in (cautions or {}).get(place.data, ())]
        parts.append(to_markdown(arms_table(place)))
        compared = differences(place)
        if compared:
            parts += ["Paired differences:", to_markdown(differences_table(place, compared))]
    return "\n\n".join(parts) + "\n"


def verdict(found: Sequence[Place], judged: Sequence[Difference]) -> str:
    """One line from the numbers: the biology beats the random network, or it does not.

    Args:
        found: all places.
        judged: every network's arm less the random one, by the first metric of its task.
    """
    own = [each for each in judged if each.arm == judged_arm(each.place)]
    if not own:
        return (
            f"No verdict on whether the biology beats the random network: in none of {len(found)} data sets and splits "
            f"are there both the arm `{RANDOM}` and one of `both` and `ugrn`."
        )
    ahead, behind = (sum(said) for said in zip(*((each.ahead, each.behind) for each in own), strict=True))
    said = (
        "The biology beats the random network" if ahead == len(own) else "The biology beats the random network in part"
    )
    said = said if ahead else "The biology does not beat the random network"
    arms = " or ".join(f"`{arm}`" for arm in in_order((each.arm for each in own), ARMS))
    by_task = [(task, [each.ahead for each in own if each.place.task == task]) for task in KINDS]
    shares = ", ".join(f"{task} {sum(flags)} of {len(flags)}" for task, flags in by_task if flags)
    tail = f", and below in {behind}" if behind else ""
    return (
        f"**{said}**: {arms} lies above the random network of its kind in {ahead} of {len(own)} data sets and splits "
        f"({shares}){tail}, by the 95 % interval of the paired difference."
    )


COUNTS = (
    "In how many data sets and splits an arm beats the random network, by the first metric; in brackets, is beaten."
)


def counts(judged: Sequence[Difference]) -> str:
    """Table of how often each arm is ahead of the random network, and behind it, by task."""
    tasks = [task for task in KINDS if any(each.place.task == task for each in judged)]
    lines = []
    for arm in in_order((each.arm for each in judged), ARMS):
        own = [each for each in judged if each.arm == arm]
        columns = [*([each for each in own if each.place.task == task] for task in tasks), own]
        lines.append(((arm,), cells_of(*map(_count, columns))))
    return to_markdown(Grid(("arm", *tasks, "all"), tuple(lines)))


def _count(own: Sequence[Difference]) -> str:
    if not own:
        return DASH
    return f"{sum(each.ahead for each in own)} of {len(own)} ({sum(each.behind for each in own)})"


def arms_table(place: Place) -> Grid:
    """Baselines, then adapters: every metric's mean with its interval; the best mean of a column is marked."""
    listed = [*in_order(place.rows.filter(kind="baseline")["arm"], ()), *place.arms]
    columns = [[interval(place.of(arm, metric)) for arm in listed] for metric in METRICS[place.task]]
    marked = [_column(each, metric) for each, metric in zip(columns, METRICS[place.task], strict=True)]
    lines = [((arm,), cells) for arm, cells in zip(listed, zip(*marked, strict=True), strict=True)]
    return Grid(("arm", *METRICS[place.task]), tuple(lines))


def _column(found: Sequence[Interval], metric: str) -> list[Cell]:
    """Texts of one metric; the best as shown, and its ties, are marked."""
    known = [each.mean if each.mean == each.mean else None for each in found]
    best = best_of(known, lowest=metric in LOWER_IS_BETTER)
    return [((text_of(each), marked),) for each, marked in zip(found, best, strict=True)]


def differences_table(place: Place, compared: Sequence[Difference]) -> Grid:
    """A row to each network's arm, a column to each metric and to each arm that is taken off; what lies wholly on the
    better side of zero is marked."""
    others = dict.fromkeys(each.minus for each in compared)
    columns = [(metric, other) for metric in METRICS[place.task] for other in others]
    lines = []
    for arm, own in groupby(compared, key=lambda each: each.arm):
        found = {(each.metric, each.minus): each for each in own}
        lines.append(((arm,), tuple(_difference(found.get(column)) for column in columns)))
    return Grid(("arm", *(f"{metric}, minus {other}" for metric, other in columns)), tuple(lines))


def _difference(found: Difference | None) -> Cell:
    return ((DASH, False),) if found is None else ((text_of(found.interval, signed=True), found.ahead),)


def text_of(found: Interval, signed: bool = False) -> str:
    """A mean with its interval."""
    form = "{:+.3f}" if signed else "{:.3f}"
    if found.mean != found.mean:
        return DASH
    mean = form.format(found.mean)
    return mean if found.low != found.low else f"{mean} [{form.format(found.low)}, {form.format(found.high)}]"
