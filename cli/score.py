"""``ugrn score``: a pair list in, a table of probabilities out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from ugrn.runtime import Scorer, ScoreSettings, load
from ugrn.runtime.errors import InputError
from ugrn.runtime.pairs import say_counts
from ugrn.runtime.states import read_states

from .progress import Progress

NAME = "score"
HELP = """Score a pair list: the probability that each source regulates its target.

Example: ugrn score pairs.csv -o edges.csv --prior 0.01
"""


def command(
    pairs: Annotated[
        Path | None,
        typer.Argument(help="CSV, TSV (also .gz), Parquet or HDF5 with columns source and target, or two columns."),
    ] = None,
    artifact: Annotated[Path | None, typer.Option(help="Artifact folder; the bundled one if left out.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Result: .csv, .tsv, .parquet or .h5.")] = None,
    example: Annotated[bool, typer.Option(help="Score the artifact's own example pairs.")] = False,
    prior: Annotated[float | None, typer.Option(help="Expected share of edges among the pairs, e.g. 0.01.")] = None,
    features: Annotated[bool, typer.Option(help="Also write the 16 probe features.")] = False,
    context_values: Annotated[
        Path | None,
        typer.Option(help="Score in a cell state: a profile (.csv with gene, value) or cells (.h5ad), averaged."),
    ] = None,
    groupby: Annotated[
        str | None, typer.Option(help="Annotation of the cells; one result per group, named OUTPUT.GROUP.csv.")
    ] = None,
    context_size: Annotated[int, typer.Option(help="Context genes taken from cells; 0: by the model.", min=0)] = 0,
    strict: Annotated[bool, typer.Option(help="Fail if any pair cannot be scored.")] = False,
    top: Annotated[int, typer.Option(help="Print this many of the strongest edges.", min=0)] = 0,
    provider: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0: onnxruntime decides.")] = 0,
    memory_mb: Annotated[int, typer.Option(help="Memory budget of one block, MiB.")] = 256,
) -> None:
    scorer = load(artifact, provider=provider, threads=threads, memory_mb=memory_mb)
    if (pairs is None) != example:
        raise typer.BadParameter("give a pair list, or --example, and not both", param_hint="PAIRS")  # noqa: EM101
    if output is None:
        raise typer.BadParameter("say where the result goes, e.g. -o edges.csv", param_hint="-o")  # noqa: EM101
    if top and output.suffix == ".h5":
        raise typer.BadParameter("--top reads .csv, .tsv or .parquet results", param_hint="--top")  # noqa: EM101
    if context_values is None and (groupby is not None or context_size):
        raise typer.BadParameter("--groupby and --context-size need --context-values", param_hint="--groupby")  # noqa: EM101
    listed = scorer.artifact.example_pairs if pairs is None else pairs
    settings = ScoreSettings(prior, features, strict)
    if context_values is None:
        _score(scorer, listed, output, settings, top)
        return
    states = read_states(context_values, scorer.artifact, groupby, context_size)
    if len({_file_name(state.name) for state in states}) < len(states):
        message = f"groups of {groupby} give the same file names: {sorted(state.name for state in states)}; rename them"
        raise InputError(message)
    for state in states:
        typer.echo(f"{state.name or 'cell state'}: {len(state.genes)} context genes", err=True)
        path = output.with_name(f"{output.stem}.{_file_name(state.name)}{output.suffix}") if state.name else output
        _score(scorer.in_state(state), listed, path, settings, top)


def _score(scorer: Scorer, pairs: Path, output: Path, settings: ScoreSettings, top: int) -> None:
    summary = scorer.score_file(pairs, output, settings, Progress("pairs"))
    if summary.rejects is not None:
        why = say_counts(summary.rejected)
        typer.echo(
            f"{summary.read - summary.scored} of {summary.read} pairs rejected ({why}): {summary.rejects}",
            err=True,
        )
    typer.echo(f"{summary.scored} pairs scored in {summary.seconds:.1f} s: {output}", err=True)
    if top:
        typer.echo(_strongest(output, top))


def _file_name(group: str) -> str:
    """A group's name with what file systems take."""
    return re.sub(r"[^A-Za-z0-9+_-]+", "-", group).strip("-") or "group"


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
