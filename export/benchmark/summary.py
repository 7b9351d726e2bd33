"""The output of a benchmark: results, figures and the report, from the cells that were evaluated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from ugrn.runtime import Scorer
from ugrn.runtime.files.atomic import replace_with

from . import figures, plots
from .plan import Plan
from .report import bins_table, curves_table, markdown

KNOWN_EDGES = (
    ("POU5F1", "NANOG"),
    ("GATA1", "KLF1"),
    ("SOX2", "POU5F1"),
    ("SPI1", "CD14"),
    ("STAT1", "IRF1"),
    ("TP53", "CDKN1A"),
)
SEEN = {
    "auprc_by_method": "AUPRC of every method with its interval, one panel per network",
    "regimes": "AUROC of the methods under four ways of drawing negatives, one panel per network",
    "reliability_diagrams": "Share of edges against predicted probability, one panel per network and data set",
    "known_edges": "Response and gradient of the target over the level of the source, for well-known edges",
}


@dataclass(frozen=True)
class Summary:
    """The output of a run, for a page.

    Attributes:
        results: one row per cell, regime, group, method and metric.
        markdown: the report.
        images: PNG by what is seen in it.
        numbers: Markdown tables of what the figures draw, by title.
    """

    results: pl.DataFrame
    markdown: str
    images: Mapping[str, bytes]
    numbers: Mapping[str, str]


def write_summary(plan: Plan, folder: Path, scorer: Scorer, metadata: Mapping[str, Any]) -> Summary:
    """Write ``results.parquet``, ``RESULTS.md`` and ``plots/`` of the evaluated cells in a folder."""
    rows, reliability = ([row for cell in _cells(folder) for row in cell[kind]] for kind in (0, 1))
    results = pl.DataFrame(rows, infer_schema_length=None).with_columns(train=pl.lit("/".join(plan.train)))
    replace_with(folder / "results.parquet", results.write_parquet)
    curves = known_curves(scorer)
    (folder / "plots").mkdir(exist_ok=True)
    images = {}
    drawn = dict(_figures(plan, results, reliability, curves, scorer.artifact.manifest.scale or "value"))
    for name, figure in drawn.items():
        path = folder / "plots" / f"{name}.png"
        plots.save(figure, path)
        images[SEEN[name]] = path.read_bytes()
    text = markdown(results, metadata)
    replace_with(folder / "RESULTS.md", lambda part: part.write_text(text, encoding="utf-8"))
    numbers = {"Numbers of the reliability diagrams": bins_table(reliability)} if reliability else {}
    numbers |= {"Numbers of the curves": curves_table(curves)} if curves else {}
    return Summary(results, text, images, numbers)


def compared_methods(folder: Path) -> set[str]:
    """Methods of which the evaluated cells in a folder hold results."""
    return {row["method"] for rows, _ in _cells(folder) for row in rows}


def _cells(folder: Path) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Results and reliability bins of every evaluated cell."""
    for path in sorted((folder / "parts").glob("*.json")):
        results, reliability = json.loads(path.read_text(encoding="utf-8"))
        yield results, reliability


def _figures(
    plan: Plan, results: pl.DataFrame, reliability: Sequence[Mapping[str, Any]], curves: list[dict[str, Any]], unit: str
) -> Iterator[tuple[str, Figure]]:
    """Figures of the smallest panel, by name."""
    panel = min(plan.panels)
    yield "auprc_by_method", figures.auprc_by_method(results, panel=panel)
    yield "regimes", figures.regimes(results, panel=panel)
    shown = [row for row in reliability if row["panel"] == panel and row["kind"] == "paper"]
    shown = [row for row in shown if row["dataset"] != plan.train[0]]
    if shown:
        yield "reliability_diagrams", figures.reliability_diagrams(shown)
    if curves:
        yield "known_edges", figures.known_edges(curves, unit=unit)


def known_curves(scorer: Scorer) -> list[dict[str, Any]]:
    """Response and gradient of well-known edges, of which the artifact knows both genes."""
    names, manifest = scorer.artifact.names, scorer.artifact.manifest
    pairs = [pair for pair in KNOWN_EDGES if (names.ids(list(pair)) >= 0).all()]
    if not pairs:
        return []
    ids = np.stack([names.ids(list(pair)) for pair in pairs]).astype(np.int64)
    found = scorer.features_of_ids(ids[:, 0], ids[:, 1])
    return [
        {
            "source": source,
            "target": target,
            "levels": [*manifest.vvp_levels],
            "response": found["vvp"][row].tolist(),
            "gradient_levels": [*manifest.gdt_levels],
            "gradient": found["gdt"][row].tolist(),
        }
        for row, (source, target) in enumerate(pairs)
    ]
