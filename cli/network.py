"""``ugrn network``: two gene lists in, the edges between all of them out; of all cells, or for every cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from ugrn.runtime import NetworkSettings, NetworkSummary, load
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.pairs import format_counts
from ugrn.runtime.runs.network import By

from .cell_networks import (
    CellOptions,
    MinTargets,
    Neighbours,
    PerCell,
    Reference,
    ReferenceCells,
    RegulonFile,
    TopShare,
    write_cells,
)
from .console import Console, Json, Quiet
from .options import (
    STARTED_OVER,
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
    report_rejects,
    result_file,
)

NAME = "network"
HELP = """Score every source with every target of two gene lists.

Run the same command again to resume a run that was stopped.

Examples:

    ugrn network --sources tfs.txt --targets genes.txt -o net.parquet

    ugrn network --sources tfs.txt -o net.csv --top-k 100 --prior 0.01

    ugrn network -o net.parquet --top-k 20 --by target --min-probability 0.5

    ugrn network --sources tfs.txt --targets cells.h5ad --top-k 20 --per-cell cells.h5ad -o cell-networks.h5
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
    per_cell: PerCell = None,
    regulons: RegulonFile = None,
    top_share: TopShare = 0.05,
    min_targets: MinTargets = 5,
    reference: Reference = None,
    reference_cells: ReferenceCells = None,
    neighbours: Neighbours = 5,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    output = need_output(output, json)
    settings = NetworkSettings(top_k, cast(By, by), min_probability, prior, strict, file_format)
    scorer = load(artifact, provider=provider, threads=threads, memory_mb=memory_mb)
    cells = CellOptions(regulons, reference, reference_cells, neighbours, top_share, min_targets)
    cells.check(per_cell, output, settings, any((sources, targets, context_values)))
    if per_cell is not None and groupby is not None:
        message = "--per-cell is a network for every cell, --groupby one for every group; give one of them"
        raise InputError(message)
    states = in_states(scorer, [sources, targets], output, context_values, groupby, context_size, console)
    if per_cell is not None:
        ((scorer, _),) = states  # without groups there is one
        write_cells(per_cell, cells, scorer, (sources, targets), output, settings, console)
        return
    for each, path in states:
        with result_file(path, file_format) as file:
            _print_summary(
                each.network_file(sources, targets, file, settings, console.progress("pairs")), path, console
            )


def _print_summary(summary: NetworkSummary, output: Path, console: Console) -> None:
    if summary.started_over:
        console.note(STARTED_OVER)
    for label, column in summary.columns.items():
        console.note(f"{label}: names taken from {column}")
    used = {"sources": summary.sources, "targets": summary.targets}
    for label, note in summary.names.items():
        console.note(f"{label}: {note}")
    for label, counts in summary.rejected.items():
        rejected = sum(counts.values())
        listed = f"{rejected} of {used[label] + rejected} {label} rejected"
        report_rejects(f"{listed} ({format_counts(counts)})", summary.rejects, output, console)
    left_out = f" ({summary.self_pairs} self-pairs left out)" if summary.self_pairs else ""
    console.note(
        f"{summary.scored} pairs of {summary.sources} sources and {summary.targets} targets scored{left_out}, "
        f"{summary.written} edges written in {summary.seconds:.1f} s: {output}"
    )
    console.result(summary)
