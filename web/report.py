"""The report of a result: a document with its edges, curves and network, and what is known of artifact and run."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from ugrn.runtime import Scorer
from ugrn.runtime.arrays import Array, Codes
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import replace_with
from ugrn.runtime.files.outputs import check_written
from ugrn.runtime.progress import Progress, silent

from .about import (
    artifact_table,
    definition_list,
    limits_html,
    made_with,
    prior_text,
    read_sidecar,
    reliability_bins,
    reliability_html,
    run_table,
)
from .curves import Curves, compute_curves
from .document import document, page_text
from .edges import MOST_EDGES, Layout, ReportEdges, lay_out, read_edges

SCRIPTS = ("elements.js", "base.js", "genes.js", "curves.js", "network.js", "table.js", "main.js")
CURVES = 1000


@dataclass(frozen=True)
class ReportSettings:
    """Limits of a report.

    Attributes:
        top: edges at most.
        network_edges: edges that the network view shows at first.
        curves: edges with curves at most; None: `CURVES` where the artifact is the one that the result was made with
            or this is not recorded, else none.
    """

    top: int = 50_000
    network_edges: int = 300
    curves: int | None = None

    def check(self) -> None:
        """Refuse numbers out of range.

        Raises:
            InputError: naming the setting.
        """
        for name, value, least, most in (
            ("top", self.top, 1, None),
            ("network-edges", self.network_edges, 1, MOST_EDGES),
            ("curves", self.curves or 0, 0, None),
        ):
            if value < least or (most is not None and value > most):
                upper = "" if most is None else f" to {most:,}"
                message = f"{name} {value}: expected a number from {least}{upper}"
                raise InputError(message)


@dataclass(frozen=True)
class ReportSummary:
    """The size of a report, and notes on what it leaves out."""

    output: Path
    edges: int
    curves: int
    notes: tuple[str, ...]


def write_report(
    result: Path,
    output: Path,
    scorer: Scorer,
    settings: ReportSettings = ReportSettings(),  # noqa: B008 - frozen
    progress: Progress = silent,
) -> ReportSummary:
    """Write the report of a result.

    Args:
        result: of ``ugrn score`` or ``ugrn network``; its sidecar is read where it lies beside it.
        output: ``.html``.
        scorer: of the artifact that the result was made with.
        settings: what to show.
        progress: called with edges whose curves are computed, and these in all.

    Raises:
        InputError: result, sidecar, output or a setting cannot be used.
    """
    settings.check()
    _check_output(output, result)
    edges, sidecar = read_edges(result, settings.top), read_sidecar(result)
    count, notes = _plan_curves(scorer, sidecar, settings)
    curves = compute_curves(scorer, edges, count, progress)
    notes = [*_left_out(edges), *notes]
    data = _data(edges, lay_out(edges), curves, scorer, settings) | {"file": result.name}
    page = _page(result.name, data, notes, scorer, sidecar)
    replace_with(output, lambda part: part.write_text(page, encoding="utf-8"))
    return ReportSummary(output, len(edges), len(curves.edges), tuple(notes))


def _check_output(output: Path, result: Path) -> None:
    if output.suffix.lower() not in (".html", ".htm"):
        message = f"{output}: suffix {output.suffix!r}; a report is a web page, expected a name such as report.html"
        raise InputError(message)
    check_written([output], [result])


def _plan_curves(scorer: Scorer, sidecar: Mapping[str, Any], settings: ReportSettings) -> tuple[int, list[str]]:
    """Number of curves to compute, and notes on the artifact."""
    backbone, digest = made_with(sidecar)
    given = f"{scorer.artifact.manifest.backbone} ({scorer.artifact.digest[:12]})"
    if digest == scorer.artifact.digest:
        return CURVES if settings.curves is None else settings.curves, []
    if not digest:
        note = f"Which artifact made this result is not recorded beside it; curves and facts are those of {given}."
        return CURVES if settings.curves is None else settings.curves, [note]
    note = (
        f"This result was made with the artifact {backbone} ({digest[:12]}), or in a cell state; facts"
        f"{' and curves' if settings.curves else ''} on this page are those of {given}."
    )
    hint = "" if settings.curves else " Curves are left out: name the artifact with --artifact."
    return settings.curves or 0, [note + hint]


def _left_out(edges: ReportEdges) -> list[str]:
    notes = []
    if edges.total > len(edges):
        notes.append(
            f"The page holds the {len(edges):,} strongest of {edges.total:,} edges; {edges.total - len(edges):,} "
            "weaker ones are left out (--top)."
        )
    if edges.unscored:
        notes.append(f"{edges.unscored:,} rows of the file have no probability and are left out.")
    if edges.hidden:
        notes.append(f"Columns of the file that are not shown: {', '.join(edges.hidden)}.")
    return notes


def _data(
    edges: ReportEdges, layout: Layout, curves: Curves, scorer: Scorer, settings: ReportSettings
) -> dict[str, Any]:
    """Data that the page's scripts read; columns of numbers are packed."""
    manifest = scorer.artifact.manifest
    return {
        "genes": edges.genes,
        "source": _packed(edges.source),
        "target": _packed(edges.target),
        "columns": [{"name": name, "values": _packed(values)} for name, values in edges.columns.items()],
        "curves": {
            "edges": _packed(curves.edges),
            "response": {"levels": manifest.vvp_levels, "values": _packed(curves.response)},
            "gradient": {"levels": manifest.gdt_levels, "values": _packed(curves.gradient)},
            "baseline": manifest.baseline,
            "units": manifest.units,
        },
        "network": {
            "edges": layout.edges,
            "shown": min(settings.network_edges, layout.edges),
            "genes": _packed(layout.genes),
            "x": _packed(layout.x),
            "y": _packed(layout.y),
        },
        "reliability": reliability_bins(manifest.metrics),
    }


def _packed(values: Codes | Array) -> str:
    """Numbers as base64 of little-endian int32 or float32, row by row."""
    kind = "<i4" if values.dtype.kind == "i" else "<f4"
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode("ascii")


def _page(title: str, data: Mapping[str, Any], notes: list[str], scorer: Scorer, sidecar: Mapping[str, Any]) -> str:
    run = definition_list(run_table(sidecar)) if sidecar else "<p>No record of the run lies beside the result.</p>"
    return document(
        "report.html",
        ["page.css"],
        [get_plotlyjs(), page_text(*SCRIPTS)],
        data,
        title=escape(title),
        notes="".join(f"<li>{escape(note)}</li>" for note in notes),
        artifact=escape(f"{scorer.artifact.manifest.backbone} ({scorer.artifact.digest[:12]})"),
        prior=escape(prior_text(sidecar)),
        metadata=definition_list(artifact_table(scorer.artifact)),
        limits=limits_html(scorer.artifact),
        reliability=reliability_html(scorer.artifact.manifest.metrics),
        run=run,
        version=escape(version("ugrn")),
    )
