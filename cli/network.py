"""``ugrn network``: two gene lists in, the edges between all of them out."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ugrn.runtime import NetworkSettings, NetworkSummary, load
from ugrn.runtime.genes.pairs import format_counts
from ugrn.runtime.runs.network import By

from . import options
from .console import Console, Json, Quiet

RESUMABLE = True
HELP = """Score every source with every target of two gene lists.

Run the same command again to resume a run that was stopped.

Examples:

    ugrn network --sources tfs.txt --targets genes.txt -o net.parquet

    ugrn network --sources tfs.txt -o net.csv --top-k 100 --prior 0.01

    ugrn network -o net.parquet --top-k 20 --by target --min-probability 0.5
"""


def command(
    sources: options.Genes = None,
    targets: options.Genes = None,
    output: options.Output = None,
    file_format: options.FormatName = "ugrn",
    top_k: options.TopK = None,
    by: options.CountedBy = "source",
    min_probability: options.MinProbability = 0.0,
    prior: options.Prior = None,
    artifact: options.ArtifactFolder = None,
    context_values: options.ContextValues = None,
    groupby: options.GroupBy = None,
    context_size: options.ContextSize = 0,
    strict: options.Strict = False,
    provider: options.Provider = "auto",
    threads: options.Threads = 0,
    memory_mb: options.MemoryMb = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    output = options.need_output(output, json)
    settings = NetworkSettings(top_k, cast(By, by), min_probability, prior, strict, file_format)
    scorer = load(artifact, provider=provider, threads=threads, memory_mb=memory_mb)
    reads = [sources, targets]
    for each, path in options.in_states(scorer, reads, output, context_values, groupby, context_size, console):
        with options.result_file(path, file_format) as file:
            summary = each.network_file(sources, targets, file, settings, console.progress("pairs"))
            _print_summary(summary, path, console)
        console.result(summary)


def _print_summary(summary: NetworkSummary, output: Path, console: Console) -> None:
    if summary.started_over:
        console.note(options.STARTED_OVER)
    for label, column in summary.columns.items():
        console.note(f"{label}: names taken from {column}")
    used = {"sources": summary.sources, "targets": summary.targets}
    for label, note in summary.names.items():
        console.note(f"{label}: {note}")
    for label, counts in summary.rejected.items():
        rejected = sum(counts.values())
        listed = f"{rejected} of {used[label] + rejected} {label} rejected"
        options.report_rejects(f"{listed} ({format_counts(counts)})", summary.rejects, output, console)
    left_out = f" ({summary.self_pairs} self-pairs left out)" if summary.self_pairs else ""
    console.note(
        f"{summary.scored} pairs of {summary.sources} sources and {summary.targets} targets scored{left_out}, "
        f"{summary.written} edges written in {summary.seconds:.1f} s: {output}"
    )
