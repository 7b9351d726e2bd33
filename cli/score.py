"""``ugrn score``: a pair list in, a table of probabilities out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from ugrn.runtime import ScoreSettings, Summary, load
from ugrn.runtime.files.outputs import LAYOUTS
from ugrn.runtime.files.results import scan_results
from ugrn.runtime.files.tables import ENDS
from ugrn.runtime.genes.pairs import format_counts

from . import options
from .console import Console, Json, Quiet

RESUMABLE = True
HELP = """Score a pair list: the probability that each source regulates its target.

Run the same command again to resume a run that was stopped.

Examples:

    ugrn score pairs.csv -o edges.csv --prior 0.01

    ugrn score pairs.csv -o edges.parquet --features --quiet --json

    ugrn score pairs.csv -o edges.csv --context-values cells.h5ad --groupby cell_type

    ugrn score grnboost2.tsv -o merged.tsv --rank

    cut -f 1,2 pairs.tsv | ugrn score - -o - --format decoupler | head

    ugrn score --example -o edges.csv --top 10
"""


def command(
    pairs: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV (also .gz), Parquet or HDF5 with columns source and target (or TF, regulator, gene, …), or "
            "two columns; other columns are kept. - for CSV or TSV from standard input."
        ),
    ] = None,
    artifact: options.ArtifactFolder = None,
    output: options.Output = None,
    file_format: options.FormatName = "ugrn",
    example: Annotated[bool, typer.Option(help="Score the artifact's own example pairs.")] = False,
    prior: options.Prior = None,
    features: Annotated[bool, typer.Option(help="Also write the 16 probe features.")] = False,
    rank: Annotated[
        bool, typer.Option("--rank", help="Merge with the list's importance, weight or score: ranks, and their mean.")
    ] = False,
    rank_by: Annotated[str | None, typer.Option(help="As --rank, with this column of the list.")] = None,
    context_values: options.ContextValues = None,
    groupby: options.GroupBy = None,
    context_size: options.ContextSize = 0,
    strict: Annotated[bool, typer.Option(help="Fail if any pair cannot be scored.")] = False,
    top: Annotated[int, typer.Option(help="Print this many of the strongest edges.", min=0)] = 0,
    provider: options.Provider = "auto",
    threads: options.Threads = 0,
    memory_mb: options.MemoryMb = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    if top and json:
        raise typer.BadParameter("--top prints a table, --json a summary; give one", param_hint="--top")  # noqa: EM101
    scorer = load(artifact, provider=provider, threads=threads, memory_mb=memory_mb)
    if (pairs is None) != example:
        raise typer.BadParameter("give a pair list, or --example, and not both", param_hint="PAIRS")  # noqa: EM101
    output = options.need_output(output, json)
    if top and (output.suffix not in (".csv", ".tsv", ".parquet") or file_format in LAYOUTS.keys() - {"ugrn"}):
        raise typer.BadParameter("--top reads .csv, .tsv or .parquet results with all columns", param_hint="--top")  # noqa: EM101
    listed = scorer.artifact.example_pairs if pairs is None else pairs
    settings = ScoreSettings(prior, features, strict, file_format, rank_by or rank)
    for each, path in options.in_states(scorer, [pairs], output, context_values, groupby, context_size, console):
        with options.result_file(path, file_format) as file:
            summary = each.score_file(listed, file, settings, console.progress("pairs"))
            _print_summary(summary, path, console)
        probability = summary.renamed.get("probability", "probability")
        console.result(summary, [_strongest(path, top, probability)] if top else [])


def _print_summary(summary: Summary, output: Path, console: Console) -> None:
    if summary.started_over:
        console.note(options.STARTED_OVER)
    if summary.names:
        console.note(summary.names)
    if summary.rejects is not None:
        rejected = (
            f"{summary.read - summary.scored} of {summary.read} pairs rejected ({format_counts(summary.rejected)})"
        )
        options.report_rejects(rejected, summary.rejects, output, console)
    if summary.renamed:
        renamed = ", ".join(f"{ours} is {name}" for ours, name in summary.renamed.items())
        console.note(f"the list has columns of the result's names; in the result {renamed}")
    if summary.ranked_by is not None:
        console.note(f"sorted by the mean of the ranks by |{summary.ranked_by}| and by probability")
    console.note(f"{summary.scored} pairs scored in {summary.seconds:.1f} s: {output}")


def _strongest(path: Path, count: int, probability: str) -> str:
    """The strongest edges of a result, as a table."""
    edges = scan_results(path).select(*ENDS, pl.col(probability).cast(pl.Float32).alias("p"))
    rows = edges.top_k(count, by="p").collect()
    width = max(8, *(len(name) for column in ENDS for name in rows[column]))
    lines = [f"{'source':<{width}}  {'target':<{width}}  probability"]
    lines += [f"{s:<{width}}  {t:<{width}}  {p:.3f}" for s, t, p in rows.sort("p", descending=True).iter_rows()]
    return "\n".join(lines)
