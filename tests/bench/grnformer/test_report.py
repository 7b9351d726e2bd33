"""The report says what the numbers say, and says it first."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from bench.grnformer.data import KINDS
from bench.grnformer.differences import ARMS, NETWORKS, differences, judged_arm, places
from bench.grnformer.intervals import paired_interval
from bench.grnformer.metrics import METRICS
from bench.grnformer.plots import differences_figure
from bench.grnformer.report import arms_table, differences_table, report, text_of
from bench.grnformer.results import SCHEMA

from ugrn.export.benchmark.plots import save
from ugrn.runtime.errors import InputError

PLACES = (
    ("perturbation", "fish", "perturbations"),
    ("drug-response", "gdsc", "lines"),
    ("drug-response", "gdsc", "drugs"),
    ("drug-class", "glioblastoma", "patients"),
)


def made(gains: dict[str, float], random: np.random.Generator, noise: float = 0.01) -> pl.DataFrame:
    """Results in which an arm adds its gain to every metric (and takes it off the error)."""
    rows = []
    for place, seed, unit in product(PLACES, range(5), "abcdef"):
        base = random.normal() * 0.1 + 0.5
        for metric, (arm, gain) in product(METRICS[place[0]], [("mean", 0.0), *gains.items()]):
            kind = "baseline" if arm == "mean" else "adapter"
            sign = -1 if metric == "RMSE" else 1
            value = base + sign * gain + noise * float(random.normal())
            rows.append((*place, arm, kind, seed, unit, metric, value))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_the_first_line_is_the_verdict(random: np.random.Generator) -> None:
    arms = {"none": 0.0, "random": 0.4, "random both": 0.1, "ugrn": 0.2, "both": 0.3}
    first = report(made(arms, random)).splitlines()[0]
    assert first == (
        "**The biology beats the random network**: `both` lies above the random network of its kind in 4 of 4 data "
        "sets and splits (perturbation 1 of 1, drug-response 2 of 2, drug-class 1 of 1), by the 95 % interval of the "
        "paired difference."
    )
    behind = report(made({**arms, "both": 0.05}, random)).splitlines()[0]
    assert behind.startswith("**The biology does not beat the random network**: `both` lies above ")
    assert "of its kind in 0 of 4 " in behind
    assert "), and below in 4, by" in behind
    alike = report(made({"random": 0.1, "ugrn": 0.1}, random, noise=1.0)).splitlines()[0]
    assert "`ugrn` lies above the random network of its kind in " in alike


def test_beating_it_in_some_places_is_said_so(random: np.random.Generator) -> None:
    results = made({"random both": 0.1, "both": 0.3}, random)
    worse = pl.col("value") - pl.when((pl.col("arm") == "both") & (pl.col("data") == "gdsc")).then(0.4).otherwise(0.0)
    first = report(results.with_columns(worse)).splitlines()[0]
    assert first.startswith("**The biology beats the random network in part**: `both` lies above ")
    assert "of its kind in 2 of 4 " in first
    assert "(perturbation 1 of 1, drug-response 0 of 2, drug-class 1 of 1), and below in 2" in first


def test_there_is_no_verdict_without_both_sides(random: np.random.Generator) -> None:
    for arms in ({"random": 0.1, "text": 0.2}, {"random": 0.1, "both": 0.2}, {"none": 0.1, "both": 0.2}, {}):
        assert report(made(arms, random)).startswith("No verdict on whether the biology beats the random network")


def test_the_arm_that_is_judged_is_not_the_best_one(random: np.random.Generator) -> None:
    results = made({"random": 0.2, "ugrn": 0.1, "text": 0.5, "co-expression": 0.4}, random)
    assert {judged_arm(place) for place in places(results)} == {"ugrn"}
    assert "does not beat" in report(results).splitlines()[0]
    table = report(results).split("## Networks against the random network")[1].split("##")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert lines[0] == "| arm | perturbation | drug-response | drug-class | all |"
    assert lines[2:] == [
        "| co-expression | 1 of 1 (0) | 2 of 2 (0) | 1 of 1 (0) | 4 of 4 (0) |",
        "| text | 1 of 1 (0) | 2 of 2 (0) | 1 of 1 (0) | 4 of 4 (0) |",
        "| ugrn | 0 of 1 (1) | 0 of 2 (2) | 0 of 1 (1) | 0 of 4 (4) |",
    ]


def test_differences_are_paired_and_know_which_way_is_better(random: np.random.Generator) -> None:
    results = made({"none": 0.0, "random both": 0.1, "both": 0.3}, random)
    for place in places(results):
        found = differences(place)
        assert [(each.metric, each.minus) for each in found] == [
            (metric, other) for metric in METRICS[place.task] for other in ("random", "none")
        ]
        for each in found:
            assert each.ahead
            assert not each.behind
            assert (each.interval.mean < 0) == (each.metric == "RMSE")
            other = "random both" if each.minus == "random" else each.minus
            expected = paired_interval(place.of("both", each.metric), place.of(other, each.metric))
            assert each.interval == expected


def test_tables_mark_the_best_and_keep_the_order(random: np.random.Generator) -> None:
    results = made({"both": 0.3, "random": 0.1, "none": 0.0}, random, noise=0.0)
    for place in places(results):
        grid = arms_table(place)
        assert grid.header == ("arm", *METRICS[place.task])
        assert [names for names, _ in grid.rows] == [("mean",), ("none",), ("random",), ("both",)]
        for names, cells in grid.rows:
            assert all(best == (names == ("both",)) for cell in cells for _, best in cell)
    text = report(results, {"fish": ["mind the | bars"]})
    assert "- mind the \\| bars" in text
    assert text.count("Paired differences:") == len(PLACES)
    for task, data, split in PLACES:
        assert f"## {task}: {data}, held-out {split}" in text


def test_the_table_of_differences_has_a_cell_to_each(random: np.random.Generator) -> None:
    results = made({"none": 0.0, "random": 0.1, "random both": 0.1, "ugrn": 0.2, "both": 0.3}, random)
    for place in places(results):
        compared = differences(place)
        grid = differences_table(place, compared)
        metrics = METRICS[place.task]
        assert grid.header == ("arm", *(f"{name}, minus {other}" for name in metrics for other in ("random", "none")))
        assert [names for names, _ in grid.rows] == [("ugrn",), ("both",)]
        texts = [cell[0] for _, cells in grid.rows for cell in cells]
        assert texts == [(text_of(each.interval, signed=True), each.ahead) for each in compared]


def test_results_that_no_table_can_be_made_of_are_refused(random: np.random.Generator) -> None:
    results = made({"random": 0.1}, random)
    with pytest.raises(InputError, match="6 of .* values are there twice"):
        report(pl.concat([results, results[:3]]))
    with pytest.raises(InputError, match="tasks weather; expected some of perturbation, drug-response, drug-class"):
        report(results.with_columns(task=pl.lit("weather")))
    other = results.filter((pl.col("arm") != "random") | (pl.col("seed") > 0))
    with pytest.raises(InputError, match="have no counterpart"):
        report(pl.concat([other, made({"ugrn": 0.1}, random).filter(kind="adapter")]))


def test_an_arm_without_a_random_network_of_its_kind_has_a_dash(random: np.random.Generator) -> None:
    (place, *_) = places(made({"none": 0.0, "random": 0.1, "ugrn": 0.2, "both": 0.3}, random))
    rows = {
        names[0]: [text for ((text, _),) in cells] for names, cells in differences_table(place, differences(place)).rows
    }
    assert "–" not in rows["ugrn"]
    assert rows["both"][::2] == ["–"] * len(METRICS[place.task])


def test_the_figure_has_a_facet_to_each_data_set_and_split(tmp_path: Path, random: np.random.Generator) -> None:
    results = made({arm: 0.05 * place for place, arm in enumerate(ARMS)}, random)
    figure = differences_figure(results)
    seen = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in seen] == [f"{data}\nheld-out {split}" for _, data, split in PLACES]
    assert [text.get_text() for text in seen[0].get_yticklabels()] == list(NETWORKS)
    save(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no arm over a network"):
        differences_figure(made({"random": 0.1}, random))


def test_the_figure_leaves_no_state_behind() -> None:
    code = "import sys, bench.grnformer.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_task_has_metrics() -> None:
    assert tuple(METRICS) == KINDS
