"""``ugrn score``: a pair list in, a table of probabilities out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from ugrn.runtime import Scorer, ScoreSettings, load
from ugrn.runtime.pairs import say_counts

from .options import (
    ArtifactFolder,
    ContextSize,
    ContextValues,
    GroupBy,
    MemoryMb,
    Output,
    Prior,
    Provider,
    Threads,
    in_states,
    need_output,
)
from .talk import Json, Quiet, Talk

NAME = "score"
HELP = """Score a pair list: the probability that each source regulates its target.

Run the same command again to resume a run that was stopped.

Examples:

    ugrn score pairs.csv -o edges.csv --prior 0.01

    ugrn score pairs.csv -o edges.parquet --features --quiet --json

    ugrn score pairs.csv -o edges.csv --context-values cells.h5ad --groupby cell_type

    ugrn score --example -o edges.csv --top 10
"""


def command(
    pairs: Annotated[
        Path | None,
        typer.Argument(help="CSV, TSV (also .gz), Parquet or HDF5 with columns source and target, or two columns."),
    ] = None,
    artifact: ArtifactFolder = None,
    output: Output = None,
    example: Annotated[bool, typer.Option(help="Score the artifact's own example pairs.")] = False,
    prior: Prior = None,
    features: Annotated[bool, typer.Option(help="Also write the 16 probe features.")] = False,
    context_values: ContextValues = None,
    groupby: GroupBy = None,
    context_size: ContextSize = 0,
    strict: Annotated[bool, typer.Option(help="Fail if any pair cannot be scored.")] = False,
    top: Annotated[int, typer.Option(help="Print this many of the strongest edges.", min=0)] = 0,
    provider: Provider = "auto",
    threads: Threads = 0,
    memory_mb: MemoryMb = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    talk = Talk(quiet, json)
    if top and json:
        raise typer.BadParameter("--top prints a table, --json a summary; give one", param_hint="--top")  # noqa: EM101
    scorer = load(artifact, provider=provider, threads=threads, memory_mb=memory_mb)
    if (pairs is None) != example:
        raise typer.BadParameter("give a pair list, or --example, and not both", param_hint="PAIRS")  # noqa: EM101
    output = need_output(output)
    if top and output.suffix == ".h5":
        raise typer.BadParameter("--top reads .csv, .tsv or .parquet results", param_hint="--top")  # noqa: EM101
    listed = scorer.artifact.example_pairs if pairs is None else pairs
    settings = ScoreSettings(prior, features, strict)
    for each, path in in_states(scorer, output, context_values, groupby, context_size, talk):
        _score(each, listed, path, settings, top, talk)


def _score(scorer: Scorer, pairs: Path, output: Path, settings: ScoreSettings, top: int, talk: Talk) -> None:
    summary = scorer.score_file(pairs, output, settings, talk.progress("pairs"))
    if summary.names:
        talk.note(summary.names)
    if summary.rejects is not None:
        why = say_counts(summary.rejected)
        talk.note(f"{summary.read - summary.scored} of {summary.read} pairs rejected ({why}): {summary.rejects}")
    talk.note(f"{summary.scored} pairs scored in {summary.seconds:.1f} s: {output}")
    talk.result(summary, [_strongest(output, top)] if top else [])


def _strongest(path: Path, count: int) -> str:
    """The strongest edges of a result, as a table."""
    lazy = (
        pl.scan_parquet(path)
        if path.suffix == ".parquet"
        else pl.scan_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    )
    rows = lazy.select("source", "target", "probability").top_k(count, by="probability").collect()
    width = max(8, *(len(name) for column in ("source", "target") for name in rows[column]))
    lines = [f"{'source':<{width}}  {'target':<{width}}  probability"]
    lines += [
        f"{s:<{width}}  {t:<{width}}  {p:.3f}" for s, t, p in rows.sort("probability", descending=True).iter_rows()
    ]
    return "\n".join(lines)
