"""``ugrn network``: two gene lists in, the edges between all of them out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from ugrn.runtime import NetworkSettings, NetworkSummary, load
from ugrn.runtime.network import By
from ugrn.runtime.pairs import say_counts

from .options import (
    ArtifactFolder,
    ContextSize,
    ContextValues,
    FormatName,
    GroupBy,
    MemoryMb,
    Output,
    Prior,
    Provider,
    Threads,
    in_states,
    need_output,
    result_file,
    say_rejects,
)
from .progress import Progress

NAME = "network"
HELP = """Score every source with every target of two gene lists.

Examples:

ugrn network --sources tfs.txt --targets genes.txt -o net.parquet

ugrn network --sources tfs.txt -o net.csv --top-k 100 --prior 0.01

ugrn network -o net.parquet --top-k 20 --by target --min-probability 0.5
"""

GENES_HELP = "One gene per line (also .gz; - for standard input), or the genes of an .h5ad; all if left out."


def command(
    sources: Annotated[Path | None, typer.Option(help=GENES_HELP)] = None,
    targets: Annotated[Path | None, typer.Option(help=GENES_HELP)] = None,
    output: Output = None,
    file_format: FormatName = "ugrn",
    top_k: Annotated[int | None, typer.Option(help="Keep the strongest edges only, this many per source.")] = None,
    by: Annotated[str, typer.Option(help="Whether --top-k counts per source or per target.")] = "source",
    min_probability: Annotated[float, typer.Option(help="Leave out weaker edges (after --prior).")] = 0.0,
    prior: Prior = None,
    artifact: ArtifactFolder = None,
    context_values: ContextValues = None,
    groupby: GroupBy = None,
    context_size: ContextSize = 0,
    strict: Annotated[bool, typer.Option(help="Fail if any gene cannot be used.")] = False,
    provider: Provider = "auto",
    threads: Threads = 0,
    memory_mb: MemoryMb = 0,
) -> None:
    output = need_output(output)
    settings = NetworkSettings(top_k, cast(By, by), min_probability, prior, strict, file_format)
    scorer = load(artifact, provider=provider, threads=threads, memory_mb=memory_mb)
    for each, path in in_states(scorer, [sources, targets], output, context_values, groupby, context_size):
        with result_file(path, file_format) as file:
            _say(each.network_file(sources, targets, file, settings, Progress("pairs")), path)


def _say(summary: NetworkSummary, output: Path) -> None:
    for label, column in summary.columns.items():
        typer.echo(f"{label}: names taken from {column}", err=True)
    used = {"sources": summary.sources, "targets": summary.targets}
    for label, counts in summary.rejected.items():
        rejected = sum(counts.values())
        listed = f"{rejected} of {used[label] + rejected} {label} rejected"
        typer.echo(f"{listed} ({say_counts(counts)}): {say_rejects(summary.rejects, output)}", err=True)
    left_out = f" ({summary.self_pairs} self-pairs left out)" if summary.self_pairs else ""
    typer.echo(
        f"{summary.scored} pairs of {summary.sources} sources and {summary.targets} targets scored{left_out}, "
        f"{summary.written} edges written in {summary.seconds:.1f} s: {output}",
        err=True,
    )
