"""``ugrn link``: paired RNA and ATAC in, a network of motifs in correlated peaks out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.pairs import format_counts

from .console import Console, Json, Quiet
from .exits import needs
from .options import Output, need_output, report_rejects, result_file

if TYPE_CHECKING:
    from ugrn.export.networks.linking import LinkSummary

HELP = """Make a network of paired RNA and ATAC: a TF's motif in a peak that is near a gene and correlates with it.

Examples:

    ugrn link multiome.h5mu --gene-positions positions.tsv --motif-hits hits.tsv -o linked.csv

    ugrn link --rna rna.h5ad --atac atac.h5ad --gene-positions positions.tsv --motif-hits hits.tsv -o linked.parquet
"""


def command(
    gene_positions: Annotated[
        Path,
        typer.Option(help="Table with gene, chromosome, and tss or start, end and strand; the genome of the peaks."),
    ],
    motif_hits: Annotated[Path, typer.Option(help="Table with peak, tf and nes.")],
    multiome: Annotated[
        Path | None, typer.Argument(help="Both at once: .h5mu with the modalities rna and atac.")
    ] = None,
    rna: Annotated[Path | None, typer.Option(help="Expression, .h5ad.")] = None,
    atac: Annotated[Path | None, typer.Option(help="Accessibility of peaks in the same cells, .h5ad.")] = None,
    output: Output = None,
    window: Annotated[float, typer.Option(help="Base pairs from a peak's centre to a transcription start.")] = 150_000,
    min_correlation: Annotated[float, typer.Option(help="Of peak and gene over the cells; |r| must be above.")] = 0.03,
    min_nes: Annotated[float, typer.Option(help="Of a motif hit; its NES must be above.")] = 3.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    output = need_output(output, json)
    with needs("export", "ugrn link"):
        from ugrn.export.networks.linking import LinkInputs, LinkSettings, write_links
    if multiome is not None and multiome.suffix.lower() != ".h5mu":
        message = f"{multiome}: expected an .h5mu file, or two .h5ad files as --rna and --atac"
        raise InputError(message)
    left, right = (multiome, multiome) if multiome is not None else (rna, atac)
    if left is None or right is None or (multiome is not None and (rna, atac) != (None, None)):
        message = "give an .h5mu file with both, or --rna and --atac, and not more"
        raise InputError(message)
    inputs = LinkInputs(left, right, gene_positions, motif_hits)
    settings = LinkSettings(window, min_correlation, min_nes)
    with result_file(output, "ugrn") as file:
        summary = write_links(inputs, file, settings, console.progress("genes"))
        _print_summary(summary, output, console)
    console.result(summary)


def _print_summary(summary: LinkSummary, output: Path, console: Console) -> None:
    for note in summary.notes:
        console.note(note)
    for label, counts in summary.rejected.items():
        report_rejects(f"{label} rejected: {format_counts(counts)}", summary.rejects, output, console)
    console.note(
        f"{summary.cells:,} cells, {summary.genes:,} genes, {summary.peaks:,} peaks: {summary.pairs:,} pairs within "
        f"the window, {summary.links:,} of them correlated; {summary.hits:,} motif hits"
    )
    left_out = f" ({summary.self_pairs} of genes with themselves left out)" if summary.self_pairs else ""
    console.note(
        f"{summary.edges:,} edges of {summary.sources:,} sources{left_out} written in {summary.seconds:.1f} s: {output}"
    )
