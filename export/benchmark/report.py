"""The report of the benchmark in Markdown: the verdict, all tables, and the facts of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from .result_tables import (
    ENSEMBLE,
    ORACLE,
    PARTIAL,
    calibration_table,
    control_table,
    density_table,
    direction_table,
    paper_table,
    regime_table,
    tested,
)
from .tables import DASH, Grid, cells_of, plain, to_markdown
from .verdicts import duel_table, verdict, verdict_table

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


def sections(results: pl.DataFrame) -> list[Section]:
    """All tables in reading order; those that need no comparison with controls are of the smallest panel only."""
    panels = sorted(set(tested(results)["panel"]))
    asked = [(panel, each) for panel in panels for each in AGAINST_CONTROLS]
    asked += [(panel, each) for panel in panels[:1] for each in FURTHER]
    return [
        Section(f"{title}, {panel} genes", note, table(results, panel=panel)) for panel, (title, note, table) in asked
    ]


def metadata_table(metadata: Mapping[str, Any]) -> str:
    """Facts by name; lists and mappings on one line."""

    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{name} {text(each)}" for name, each in value.items())
        return ", ".join(map(text, value)) if isinstance(value, list | tuple) else str(value)

    rows = tuple(((str(name),), cells_of(text(value))) for name, value in metadata.items())
    return to_markdown(Grid(("fact", "value"), rows))


def markdown(results: pl.DataFrame, metadata: Mapping[str, Any]) -> str:
    """The whole report: the verdict, every table with a sentence above it, and the facts of the run."""
    parts = ["# UGRN benchmark", plain(verdict(results)), LEGEND]
    for section in sections(results):
        parts += [f"## {section.title}", section.note, section.body]
    return "\n\n".join([*parts, "## How this was made", metadata_table(metadata)]) + "\n"


def bins_table(reliability: Sequence[Mapping[str, Any]]) -> str:
    """The numbers of reliability diagrams; rows of dataset, network, method and bins of probability, share, weight."""
    names = ("probability", "share", "weight")
    lines = [
        ((f"{row['network']}, {row['dataset']}", row["method"]), cells_of(*(f"{each[name]:.3f}" for name in names)))
        for row in reliability
        for each in row["bins"]
    ]
    return to_markdown(Grid(("data", "method", *names), tuple(lines)))


def curves_table(curves: Sequence[Mapping[str, Any]]) -> str:
    """The numbers of curves; rows of source, target, levels, response, gradient_levels and gradient."""
    lines = [
        ((f"{row['source']} → {row['target']}", name), cells_of(f"{level:g}", f"{value:.4g}"))
        for row in curves
        for name, levels in (("response", "levels"), ("gradient", "gradient_levels"))
        for level, value in zip(row[levels], row[name], strict=True)
    ]
    return to_markdown(Grid(("edge", "what", "level of the source", "value"), tuple(lines)))


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
