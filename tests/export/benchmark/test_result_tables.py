"""Tables and the verdict, against hand-written Markdown and plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from ugrn.export.benchmark import report, verdicts
from ugrn.export.benchmark import result_tables as tables
from ugrn.runtime.errors import InputError

KINDS = {"random weights": "control", "text cosine": "control", "oracle degree": "control", "PIDC": "classical"}


def row(
    method: str, value: float | None, dataset: str = "mDC", network: str = "string", **changed: Any
) -> dict[str, Any]:
    usual = {"train": "hESC/string", "panel": 500, "regime": "degree-aware", "group": "all", "metric": "AUPRC"}
    own = {"dataset": dataset, "network": network, "method": method, "kind": KINDS.get(method, "paper"), "value": value}
    return usual | own | {"low": None, "high": None} | changed


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema_overrides=dict.fromkeys(("value", "low", "high"), pl.Float64))


def random_frame(seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for dataset, network in (("mDC", "string"), ("mESC", "string"), ("hESC", "string"), ("mESC", "lofgof")):
        for method in ("VVP", "Ensemble", "random weights", "text cosine", "oracle degree", "PIDC"):
            for group in ("all", "one unseen", "both unseen"):
                for panel in (500, 1000):
                    value = None if rng.random() < 0.1 else rng.uniform(0.4, 0.9)
                    wide = None if value is None or rng.random() < 0.2 else rng.uniform(0, 0.2)
                    ends = {} if value is None or wide is None else {"low": value - wide, "high": value + wide}
                    if rng.random() < 0.9:
                        rows.append(row(method, value, dataset, network, group=group, panel=panel, **ends))
    return frame(*rows)


def test_paper_table_is_laid_out_like_the_papers() -> None:
    results = frame(
        row("Ensemble", 0.7004, "mESC"),
        row("Ensemble", 0.61, "mESC", group="both unseen"),
        row("VVP", 0.6996, "mESC"),  # shown as 0.700, a tie
        row("VVP", 0.62, "mESC", group="both unseen"),
        row("Ensemble", 0.5),
        row("VVP", 0.6),
        row("Pert", 0.9),  # missing on mESC
        row("Tokens", math.nan),
        row("Attn", None),
        row("Ensemble", 0.55, network="lofgof"),
        row("Ensemble", 0.99, "hESC"),  # the training data set
        row("text cosine", 0.99),
        row("Ensemble", 0.99, panel=1000),
        row("Ensemble", 0.99, regime="random"),
    )
    assert tables.paper_table(results) == (
        "| network | data set | Pert | Attn | VVP | Ensemble | Tokens |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| string | mDC | **0.900** / – | – / – | 0.600 / – | 0.500 / – | – / – |\n"
        "| string | mESC | – / – | – / – | **0.700** / **0.620** | **0.700** / 0.610 | – / – |\n"
        "| string | mean | 0.900† / – | – / – | **0.650** / **0.620** | 0.600 / 0.610 | – / – |\n"
        "| lofgof | mDC | – / – | – / – | – / – | 0.550 / – | – / – |"
    )
    assert "0.990" in tables.paper_table(results, panel=1000)
    assert tables.paper_table(results, panel=2000) == "No results."


def test_controls_stand_beside_the_ensemble_and_the_oracle_never_wins() -> None:
    results = frame(
        row("PIDC", 0.52),
        row("oracle degree", 0.9),
        row("text cosine", 0.6, group="both unseen"),
        row("text cosine", 0.61),
        row("Ensemble", 0.6),
        row("VVP", 0.95),
    )
    assert tables.control_table(results) == (
        "| network | data set | Ensemble | oracle degree | text cosine | PIDC |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| string | mDC | 0.600 / – | 0.900 / – | **0.610** / 0.600 | 0.520 / – |"
    )


@pytest.mark.parametrize("seed", range(5))
def test_means_are_those_of_plain_loops(seed: int) -> None:
    results = random_frame(seed)
    lines = tables.paper_table(results).splitlines()
    cells = [cell.strip() for cell in next(line for line in lines if "string | mean" in line).strip("|").split("|")]
    rows = [each for each in results.rows(named=True) if each["panel"] == 500 and each["network"] == "string"]
    for method, cell in zip(("VVP", "Ensemble"), cells[2:], strict=True):
        for group, shown in zip(("all", "both unseen"), cell.replace("*", "").split(" / "), strict=True):
            listed = [each for each in rows if each["group"] == group and each["kind"] == "paper"]
            known = [each for each in listed if each["dataset"] != "hESC" and each["value"] is not None]
            own = [each["value"] for each in known if each["method"] == method]
            whole = len(own) == len({each["dataset"] for each in known})
            expected = f"{sum(own) / len(own):.3f}{'' if whole else '†'}" if own else "–"
            assert shown == expected


@pytest.mark.parametrize("seed", range(5))
def test_verdicts_are_those_of_plain_loops(seed: int) -> None:
    results = random_frame(seed)
    found = verdicts.verdicts(results, ("VVP", "Ensemble"))
    rows = [each for each in results.rows(named=True) if each["dataset"] != "hESC"]
    judged = [each for each in rows if each["method"] in ("VVP", "Ensemble")]
    assert len(found) == len(judged)
    for each in judged:
        cell = {name: each[name] for name in ("dataset", "network", "panel", "group")}
        rivals = [
            other
            for other in rows
            if other["method"] in ("random weights", "text cosine")
            and other["value"] is not None
            and all(other[name] == cell[name] for name in cell)
        ]
        best = max(rivals, key=lambda other: other["value"], default=None)
        known = best is not None and best["high"] is not None and each["low"] is not None
        expected = each["low"] > best["high"] if known and best else None
        (said,) = found.filter(method=each["method"], **cell).rows(named=True)
        assert said["verdict"] is expected
        assert said["control"] == (best["method"] if best else None)


def test_all_of_the_papers_methods_are_judged_by_default() -> None:
    found = verdicts.verdicts(random_frame(0))
    assert set(found["method"]) == {"VVP", "Ensemble"}
    assert found["verdict"].dtype == pl.Boolean


def duel() -> pl.DataFrame:
    both: dict[str, Any] = {"group": "both unseen"}
    return frame(
        row("Ensemble", 0.7, low=0.65, high=0.75, **both),
        row("text cosine", 0.6, low=0.58, high=0.62, **both),
        row("oracle degree", 0.99, low=0.98, high=1.0, **both),
        row("PIDC", 0.98, low=0.97, high=0.99, **both),
        row("Ensemble", 0.5, "mESC", low=0.45, high=0.55, **both),
        row("text cosine", 0.6, "mESC", low=0.58, high=0.62, **both),
        row("Ensemble", 0.6, network="lofgof", low=0.55, high=0.65, **both),
        row("random weights", 0.61, network="lofgof", low=0.6, high=0.62, **both),
        row("Ensemble", 0.6, "mESC", network="lofgof", **both),  # no interval
        row("random weights", 0.5, "mESC", network="lofgof", low=0.4, high=0.52, **both),
        row("Ensemble", 0.6, network="specific", low=0.55, high=0.65, **both),  # no control
        row("Ensemble", 0.04, metric="ECE"),
        row("Ensemble", 0.08, "mESC", metric="ECE"),
        row("text cosine", 0.9, metric="ECE"),
    )


def test_counts_leave_out_what_is_not_known() -> None:
    assert verdicts.verdict_table(duel()) == (
        "| pairs | network | Ensemble |\n"
        "| --- | --- | --- |\n"
        "| both unseen | string | 1 of 2 |\n"
        "| both unseen | lofgof | 0 of 1 |\n"
        "| both unseen | all networks | 1 of 3 |"
    )


def test_the_best_control_is_named_in_every_cell() -> None:
    assert verdicts.duel_table(duel()) == (
        "| network | data set | Ensemble | best control | its AUPRC | above |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| string | mDC | 0.700 [0.650, 0.750] | text cosine | 0.600 [0.580, 0.620] | yes |\n"
        "| string | mESC | 0.500 [0.450, 0.550] | text cosine | 0.600 [0.580, 0.620] | no |\n"
        "| specific | mDC | 0.600 [0.550, 0.650] | – | – | – |\n"
        "| lofgof | mDC | 0.600 [0.550, 0.650] | random weights | 0.610 [0.600, 0.620] | no |\n"
        "| lofgof | mESC | 0.600 | random weights | 0.500 [0.400, 0.520] | – |"
    )


def test_the_verdict_is_what_the_numbers_say() -> None:
    said = verdicts.verdict(duel())
    assert said.startswith("The Ensemble shows pairwise knowledge beyond every control in 1 of 3 cells.")
    assert "in 1 it lies wholly below, and in 1 the two overlap" in said
    assert "mean AUPRC is 0.600, that of the best controls 0.603" in said
    assert "most often text cosine (2 of 3)" in said
    assert said.endswith("The mean calibration error (ECE) of its probabilities is 0.060.")
    stronger = duel().with_columns(low=pl.when(method="Ensemble").then(0.64).otherwise("low"))
    assert "in 4 of 4 cells" in verdicts.verdict(stronger)


@pytest.mark.parametrize("left_out", ["Ensemble", "text cosine"])
def test_without_the_ensemble_or_a_control_there_is_no_verdict(left_out: str) -> None:
    results = duel().filter(pl.col("method") != left_out, pl.col("method") != "random weights")
    assert verdicts.verdict(results).startswith("No verdict")
    assert verdicts.verdict(duel().filter(dataset="hESC")).startswith("No verdict")


def test_regimes_are_columns() -> None:
    rows = [
        row(method, value, dataset, regime=regime, metric=metric)
        for regime, value in (("random", 0.8), ("degree-aware", 0.5), ("natural", 0.04))
        for metric in ("AUPRC", "AUROC")
        for dataset in ("mDC", "mESC")
        for method in ("oracle degree", "Ensemble", "VVP")
    ]
    assert tables.regime_table(frame(*rows)) == (
        "| network | method | random | same-source | degree-aware | natural |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| string | Ensemble | 0.800 / 0.800 | – / – | 0.500 / 0.500 | 0.040 / 0.040 |\n"
        "| string | oracle degree | 0.800 / 0.800 | – / – | 0.500 / 0.500 | 0.040 / 0.040 |"
    )


def test_the_lowest_calibration_error_is_the_best() -> None:
    results = frame(
        row("VVP", 0.05, metric="ECE"),
        row("VVP", 0.26, metric="Brier"),
        row("Ensemble", 0.06, metric="ECE"),
        row("Ensemble", 0.24, metric="Brier"),
        row("Pert", None, metric="ECE"),
        row("random weights", 0.01, metric="ECE"),
    )
    assert tables.calibration_table(results).splitlines()[2:] == [
        "| string | mDC | **0.050** / 0.260 | 0.060 / **0.240** |"
    ]


def test_natural_density_and_direction_have_a_row_per_method() -> None:
    results = frame(
        row("Ensemble", 2.0, regime="natural", metric="AUPRC ratio"),
        row("Ensemble", 3.0, "mESC", regime="natural", metric="AUPRC ratio"),
        row("Ensemble", 1.5, regime="natural", metric="EPR"),
        row("PIDC", 2.6, regime="natural", metric="AUPRC ratio"),
        row("Ensemble", 1.1, network="lofgof", regime="natural", metric="EPR"),
        row("Ensemble", 0.6, regime="natural", metric="direction accuracy"),
        row("text cosine", 0.5, regime="natural", metric="direction accuracy"),
    )
    assert tables.density_table(results) == (
        "| method | string | lofgof |\n| --- | --- | --- |\n"
        "| Ensemble | 2.500 / 1.500 | – / 1.100 |\n"
        "| PIDC | 2.600† / – | – / – |"
    )
    assert tables.direction_table(results) == (
        "| method | string |\n| --- | --- |\n| Ensemble | **0.600** |\n| text cosine | 0.500 |"
    )


def test_the_file_holds_every_table_and_the_facts() -> None:
    metadata = {"artifact": "mini", "seeds": [0, 1], "versions": {"numpy": "2", "torch": "3"}}
    text = report.markdown(duel(), metadata)
    assert text.startswith("# UGRN benchmark\n\nThe Ensemble shows pairwise knowledge")
    assert text.endswith("| artifact | mini |\n| seeds | 0, 1 |\n| versions | numpy 2, torch 3 |\n")
    for section in report.sections(duel()):
        assert f"## {section.title}\n\n{section.note}\n\n{section.body}\n" in text
    assert len({section.title for section in report.sections(duel())}) == 8


def test_several_training_networks_are_told_apart() -> None:
    results = frame(row("Ensemble", 0.6), row("Ensemble", 0.7, train="mESC/string"), row("Ensemble", 0.8, "hESC"))
    assert [line.split("|")[2].strip() for line in tables.paper_table(results).splitlines()[2:]] == [
        "mDC from hESC/string",
        "mDC from mESC/string",
        "mean",
    ]


def test_names_do_not_break_the_table() -> None:
    text = tables.paper_table(frame(row("a|b\n<i>*", 0.5)))
    assert text.splitlines()[0] == "| network | data set | a\\|b &lt;i>\\* |"


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="results lack metric"):
        report.markdown(duel().drop("metric"), {})
