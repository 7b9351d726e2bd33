"""The verdict: where a method shows knowledge of pairs beyond every control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from .evaluate import GROUPS
from .result_tables import ENSEMBLE, JOINED, METHODS, NETWORKS, ORACLE, methods_of, tested
from .tables import DASH, Grid, cells_of, in_order, to_markdown


def verdicts(results: pl.DataFrame, methods: Sequence[str] | None = None) -> pl.DataFrame:
    """Cells in which a method carries pairwise knowledge: its interval lies above the best control's interval.

    Degree-aware AUPRC. The best control of a cell is the one of highest value; `ORACLE` is none.

    Args:
        results: of the benchmark.
        methods: to judge; all of the paper's by default.

    Returns:
        One row per train, dataset, network, panel, group and method: value, low, high; control, control_value,
        control_low, control_high; verdict, null where there is no control or an interval is missing; `name` as in
        `tested`.
    """
    rows = tested(results).filter(metric="AUPRC", regime="degree-aware")
    cell = ["train", "dataset", "network", "panel", "group"]
    controls = rows.filter(pl.col("method") != ORACLE, kind="control").drop_nulls("value")
    best = controls.sort("value", "method", descending=[True, False]).unique(cell, keep="first", maintain_order=True)
    best = best.select(*cell, control="method", control_value="value", control_low="low", control_high="high")
    wanted = methods_of(rows, "paper") if methods is None else list(methods)
    judged = rows.filter(pl.col("method").is_in(wanted)).join(best, on=cell, how="left").sort(*cell, "method")
    columns = ["method", "value", "low", "high", *best.columns[len(cell) :]]
    return judged.select(*cell, *columns, verdict=pl.col("low") > pl.col("control_high"), name="name")


def verdict_table(results: pl.DataFrame, panel: int = 500) -> str:
    """In how many data sets each of the paper's methods lies above the best control, by group and network."""
    cells = verdicts(results).filter(panel=panel).drop_nulls("verdict")
    methods = in_order(cells["method"], METHODS)
    lines = []
    for group in in_order(cells["group"], GROUPS):
        part = cells.filter(group=group)
        counts = [(network, part.filter(network=network)) for network in in_order(part["network"], NETWORKS)]
        for network, rows in [*counts, ("all networks", part)]:
            by_method = [rows.filter(method=method)["verdict"] for method in methods]
            texts = [f"{said.sum()} of {len(said)}" if len(said) else DASH for said in by_method]
            lines.append(((group, network), cells_of(*texts)))
    return to_markdown(Grid(("pairs", "network", *methods), tuple(lines)))


def duel_table(results: pl.DataFrame, panel: int = 500) -> str:
    """The Ensemble and the best control of every cell with their intervals, both genes unseen."""
    judged = verdicts(results, (ENSEMBLE,)).filter(panel=panel, group="both unseen")
    lines = []
    for network in in_order(judged["network"], NETWORKS):
        for row in judged.filter(network=network).sort("name").iter_rows(named=True):
            said = {True: "yes", False: "no", None: DASH}[row["verdict"]]
            cells = cells_of(_interval(row), row["control"] or DASH, _interval(row, "control_"), said)
            lines.append(((network, row["name"]), cells))
    return to_markdown(Grid(("network", "data set", ENSEMBLE, "best control", "its AUPRC", "above"), tuple(lines)))


def verdict(results: pl.DataFrame) -> str:
    """The numbers in plain words: one paragraph about the Ensemble on the smallest panel."""
    rows = tested(results)
    cells = verdicts(results, (ENSEMBLE,)).filter(group="both unseen").drop_nulls("verdict")
    cells = cells.filter(panel=pl.col("panel").min())
    if cells.is_empty():
        return f"No verdict: there is no zero-shot data set with intervals of both the {ENSEMBLE} and a control."
    panel, count, above = cells["panel"][0], len(cells), int(cells["verdict"].sum())
    below = int((cells["high"] < cells["control_low"]).sum())
    control, often = cells["control"].value_counts().sort("count", "control", descending=[True, False]).row(0)
    own, other = (float(cells[name].to_numpy().mean()) for name in ("value", "control_value"))
    text = (
        f"The {ENSEMBLE} shows pairwise knowledge beyond every control in {above} of {count} cells. A cell is one data "
        f"set and network of {panel} genes, with degree-aware negatives and only pairs of which both genes are absent "
        f"from the training network ({', '.join(dict.fromkeys(cells['train']))}). A cell counts where the 95 % "
        f"interval of the {ENSEMBLE}'s AUPRC lies wholly above that of the best control; in {below} it lies wholly "
        f"below, and in {count - above - below} the two overlap. The {ENSEMBLE}'s mean AUPRC is {own:.3f}, that of the "
        f"best controls {other:.3f}, chance 0.5. The best control is most often {control} ({often} of {count})."
    )
    text += _mean_error(rows, ENSEMBLE, panel)
    joined = verdicts(results, (JOINED,)).filter(group="both unseen", panel=panel).drop_nulls("verdict")
    if len(joined):
        above, value = int(joined["verdict"].sum()), float(joined["value"].to_numpy().mean())
        text += f" Joined by the products of gene embeddings ({JOINED}) it lies above in {above}, at {value:.3f}."
        text += _mean_error(rows, JOINED, panel)
    return text


def _mean_error(rows: pl.DataFrame, method: str, panel: int) -> str:
    wrong = rows.filter(method=method, metric="ECE", regime="degree-aware", group="all", panel=panel)["value"]
    errors = wrong.drop_nulls().to_list()
    if not errors:
        return ""
    return f" The mean calibration error (ECE) of its probabilities is {sum(errors) / len(errors):.3f}."


def _interval(row: Mapping[str, Any], prefix: str = "") -> str:
    value, low, high = (row[f"{prefix}{name}"] for name in ("value", "low", "high"))
    if value is None:
        return DASH
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
