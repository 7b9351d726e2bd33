"""The verdict: where a method shows knowledge of pairs beyond every control, and the whole report in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from .evaluate import GROUPS
from .tables import (
    DASH,
    ENSEMBLE,
    JOINED,
    METHODS,
    NETWORKS,
    ORACLE,
    PARTIAL,
    Grid,
    Writer,
    calibration_table,
    cells_of,
    control_table,
    density_table,
    direction_table,
    in_order,
    methods_of,
    paper_table,
    plain,
    regime_table,
    tested,
    to_markdown,
)

TITLE = "UGRN benchmark"
LEGEND = (
    f"{DASH} means not computed. {PARTIAL} marks a mean that lacks some of a network's data sets and is so never "
    f"taken for the best; nor is {ORACLE}, which reads the test labels. Nothing is shown of the training data set."
)


@dataclass(frozen=True)
class Section:
    """A written table with its title and one sentence on how to read it."""

    title: str
    note: str
    body: str


def verdicts(results: pl.DataFrame, methods: Sequence[str] | None = None) -> pl.DataFrame:
    """Where a method carries pairwise knowledge: its interval lies above the best control's interval.

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


def verdict_table(results: pl.DataFrame, panel: int = 500, write: Writer = to_markdown) -> str:
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
    return write(Grid(("pairs", "network", *methods), tuple(lines)))


def duel_table(results: pl.DataFrame, panel: int = 500, group: str = "both unseen", write: Writer = to_markdown) -> str:
    """The Ensemble and the best control of every cell with their intervals."""
    judged = verdicts(results, (ENSEMBLE,)).filter(panel=panel, group=group)
    lines = []
    for network in in_order(judged["network"], NETWORKS):
        for row in judged.filter(network=network).sort("name").iter_rows(named=True):
            said = {True: "yes", False: "no", None: DASH}[row["verdict"]]
            cells = cells_of(_interval(row), row["control"] or DASH, _interval(row, "control_"), said)
            lines.append(((network, row["name"]), cells))
    return write(Grid(("network", "data set", ENSEMBLE, "best control", "its AUPRC", "above"), tuple(lines)))


def verdict(results: pl.DataFrame) -> str:
    """What the numbers say, in plain words: one paragraph about the Ensemble on the smallest panel."""
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


def sections(results: pl.DataFrame, write: Writer = to_markdown) -> list[Section]:
    """All tables in reading order; those that need no comparison with controls are of the smallest panel only."""
    panels = sorted(set(tested(results)["panel"]))
    asked = [(panel, each) for panel in panels for each in AGAINST_CONTROLS]
    asked += [(panel, each) for panel in panels[:1] for each in FURTHER]
    return [
        Section(f"{title}, {panel} genes", note, table(results, panel=panel, write=write))
        for panel, (title, note, table) in asked
    ]


def metadata_grid(metadata: Mapping[str, Any]) -> Grid:
    """Facts by name; lists and mappings on one line."""

    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{name} {text(each)}" for name, each in value.items())
        return ", ".join(map(text, value)) if isinstance(value, list | tuple) else str(value)

    return Grid(("fact", "value"), tuple(((str(name),), cells_of(text(value))) for name, value in metadata.items()))


def markdown(results: pl.DataFrame, metadata: Mapping[str, Any]) -> str:
    """The whole report: the verdict, every table with a sentence above it, and the facts of the run."""
    parts = [f"# {TITLE}", plain(verdict(results)), LEGEND]
    for section in sections(results):
        parts += [f"## {section.title}", section.note, section.body]
    return "\n\n".join([*parts, "## How this was made", to_markdown(metadata_grid(metadata))]) + "\n"


def _interval(row: Mapping[str, Any], prefix: str = "") -> str:
    value, low, high = (row[f"{prefix}{name}"] for name in ("value", "low", "high"))
    if value is None:
        return DASH
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


AGAINST_CONTROLS: tuple[tuple[str, str, Callable[..., str]], ...] = (
    (
        "The paper's methods",
        "AUPRC of all pairs / of pairs of which both genes are absent from the training network, with one degree-aware "
        "negative per edge, so that chance is 0.5; the best of a row is bold.",
        paper_table,
    ),
    (
        "Controls and classical methods",
        f"The same numbers for what the {ENSEMBLE} has to beat.",
        control_table,
    ),
    (
        "Beyond the best control",
        "In how many data sets a method's 95 % interval of AUPRC lies wholly above that of the best control.",
        verdict_table,
    ),
    (
        f"{ENSEMBLE} against the best control",
        "AUPRC with its 95 % bootstrap interval over sources, both genes absent from the training network; the best "
        "control is the one of highest AUPRC in that row.",
        duel_table,
    ),
)
FURTHER: tuple[tuple[str, str, Callable[..., str]], ...] = (
    (
        "What the choice of negatives does",
        f"AUPRC / AUROC of all pairs, means over data sets: {ORACLE} knows only how many edges each gene has, so what "
        "it reaches needs no knowledge of pairs; chance is 0.5, but the share of edges for the natural AUPRC.",
        regime_table,
    ),
    (
        "Calibration",
        "Expected calibration error / Brier score of all pairs with degree-aware negatives, lower is better; saying "
        "0.5 of every pair scores 0 / 0.250.",
        calibration_table,
    ),
    (
        "All candidate pairs",
        "AUPRC / precision among as many top pairs as there are edges (EPR), both divided by the share of edges, so "
        "that chance is 1; means over data sets, the best of a column is bold.",
        density_table,
    ),
    (
        "Direction",
        "Share of edges that score higher than their reverse, means over data sets; a symmetric score is at chance, "
        "0.5.",
        direction_table,
    ),
)
