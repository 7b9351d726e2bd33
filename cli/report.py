"""``ugrn report``: a result in, a web page to look at out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime import load

from .console import Console, Json, Quiet
from .exits import needs
from .options import ArtifactFolder

HELP = """Make one self-contained web page of a result of 'ugrn score' or 'ugrn network'.

The page needs no network: search a gene, its targets and regulators, response and gradient curves, the network of the
strongest edges, a table to sort, filter and export.

Examples:

    ugrn report edges.parquet -o report.html

    ugrn report net.csv -o report.html --top 20000 --curves 5000 --artifact my-artifact
"""


def command(
    edges: Annotated[Path, typer.Argument(help="Result: .csv, .tsv (also .gz), .parquet or .h5.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Page to write: .html.")],
    artifact: ArtifactFolder = None,
    top: Annotated[int, typer.Option(help="Strongest edges that the page holds, at most.")] = 50_000,
    network_edges: Annotated[int, typer.Option(help="Edges the network view shows at first, up to 2,000.")] = 300,
    curves: Annotated[
        int | None,
        typer.Option(
            help="Edges with curves, at most; 1,000 if left out, and none where another artifact made the result."
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    with needs("report", "ugrn report"):
        from ugrn.web.report import ReportSettings, write_report
    settings = ReportSettings(top, network_edges, curves)
    summary = write_report(edges, output, load(artifact), settings, console.progress("curves"))
    for note in summary.notes:
        console.note(f"note: {note}")
    size = summary.output.stat().st_size / 1e6
    console.note(f"{summary.edges:,} edges, {summary.curves:,} of them with curves: {summary.output} ({size:.1f} MB)")
    console.result(summary)
