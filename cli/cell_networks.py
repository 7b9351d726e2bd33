"""``ugrn cell-networks``: cells in, the network of every cell out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ugrn.runtime import NetworkSettings, load
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.outputs import check_output
from ugrn.runtime.genes.pairs import format_counts
from ugrn.runtime.runs.network import By

from . import options
from .console import Console, Json, Quiet
from .exits import needs

if TYPE_CHECKING:
    from ugrn.export.networks.summary import CellNetworkSummary

HELP = """Write which of a network's edges are active in every cell.

The edges are scored as by 'ugrn network', taken from a file (--regulons), or those of the nearest cells that have
networks already (--reference).

Examples:

    ugrn cell-networks cells.h5ad --sources tfs.txt --targets cells.h5ad --top-k 20 -o cell-networks.h5

    ugrn cell-networks cells.h5ad --regulons eRegulons.tsv --min-targets 3 -o scenic-networks.h5

    ugrn cell-networks cells.h5ad --reference cell-networks.h5 --reference-cells cells.h5ad -o near-networks.h5
"""
ACTIVITY, NEAREST = "Activity of a source's targets", "Networks of the nearest cells"
OF_NEAREST = {"reference", "reference_cells", "neighbours"}
OF_ACTIVITY = {"top_share", "min_targets"}
OF_LISTS = {"sources", "targets", "strict", "context_values", "context_size"}
OF_SCORES = OF_LISTS | {"top_k", "by", "min_probability", "prior"}

RegulonFile = Annotated[
    Path | None,
    typer.Option(
        help="Score nothing, and take this network: a result, a pair list, eRegulons of SCENIC+, .gmt.",
        rich_help_panel="Edges of a file",
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        help="Networks of other cells, by this command: every cell gets those of its nearest ones.",
        rich_help_panel=NEAREST,
    ),
]
ReferenceCells = Annotated[Path | None, typer.Option(help="The cells of --reference (.h5ad).", rich_help_panel=NEAREST)]
Neighbours = Annotated[
    int, typer.Option(help="Nearest cells of --reference; most of them decide.", rich_help_panel=NEAREST)
]
TopShare = Annotated[
    float, typer.Option(help="Share of a cell's genes within which targets count (AUCell).", rich_help_panel=ACTIVITY)
]
MinTargets = Annotated[
    int, typer.Option(help="Leave out regulons with fewer targets among the cells' genes.", rich_help_panel=ACTIVITY)
]


def command(
    context: typer.Context,
    cells: Annotated[Path, typer.Argument(help="Cells: .h5ad.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Result: .h5.")],
    sources: options.Genes = None,
    targets: options.Genes = None,
    top_k: options.TopK = None,
    by: options.CountedBy = "source",
    min_probability: options.MinProbability = 0.0,
    prior: options.Prior = None,
    strict: options.Strict = False,
    context_values: options.ContextValues = None,
    context_size: options.ContextSize = 0,
    artifact: options.ArtifactFolder = None,
    provider: options.Provider = "auto",
    threads: options.Threads = 0,
    memory_mb: options.MemoryMb = 0,
    regulons: RegulonFile = None,
    reference: Reference = None,
    reference_cells: ReferenceCells = None,
    neighbours: Neighbours = 5,
    top_share: TopShare = 0.05,
    min_targets: MinTargets = 5,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    _check_options(context)
    settings = NetworkSettings(top_k, cast(By, by), min_probability, prior, strict)
    with needs("export", "ugrn cell-networks"):
        from ugrn.export.networks.cell_networks import CellNetworks
        from ugrn.export.networks.per_cell import (
            CellNetworkSettings,
            listed_basis,
            read_many_cells,
            scored_basis,
            write_per_cell,
        )
        from ugrn.export.networks.reference import write_from_reference
    scorer = load(artifact, provider=provider, threads=threads, memory_mb=memory_mb)
    opened = scorer.artifact
    check_output(output, [cells, sources, targets, context_values, regulons, reference, reference_cells])
    if reference is not None and reference_cells is not None:
        known = CellNetworks.open(reference)
        summary = write_from_reference(cells, known, reference_cells, output, opened, neighbours, console.progress)
    else:
        activity = CellNetworkSettings(top_share, min_targets)
        read = read_many_cells(cells, opened.names)  # before anything is scored
        if regulons is None:
            lists = [sources, targets]
            ((scorer, _),) = options.in_states(scorer, lists, output, context_values, None, context_size, console)
            basis = scored_basis(scorer, sources, targets, settings, console.progress("pairs"))
        else:
            basis = listed_basis(regulons, opened.names)
        for note in basis.notes:
            console.note(note)
        summary = write_per_cell(basis, read, output, opened, activity, console.progress)
    _print_summary(summary, console)
    console.result(summary)


def _check_options(context: typer.Context) -> None:
    """Refuse options that do not go together, before any work is done.

    Raises:
        InputError: one is missing, or belongs to other edges than those that are asked for.
    """
    values, message = context.params, ""
    if values["reference"] is not None:
        other, reason = OF_SCORES | OF_ACTIVITY | {"regulons"}, "--reference has the regulons already"
    elif values["regulons"] is not None:
        other, reason = OF_SCORES | OF_NEAREST, "--regulons: nothing is scored then"
    else:
        other, reason = OF_NEAREST - {"reference_cells"}, "there is no --reference"
    extra = [f"--{name.replace('_', '-')}" for name in values if name in other and _is_given(context, name)]
    if extra:
        message = f"{reason}; leave out {', '.join(extra)}"
    elif (values["reference"] is None) != (values["reference_cells"] is None):
        message = "--reference are networks and --reference-cells the cells they are of; give both"
    elif not any(values[name] for name in ("reference", "regulons", "top_k", "min_probability")):
        message = "all pairs would be edges; add --top-k or --min-probability, or a network as --regulons"
    elif values["output"].suffix.lower() != ".h5":
        message = f"{values['output']}: networks of cells are written as .h5; name it so with -o"
    if message:
        raise InputError(message)


def _is_given(context: typer.Context, option: str) -> bool:
    """True where an option is on the command line, be its value the default or not."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _print_summary(summary: CellNetworkSummary, console: Console) -> None:
    console.note(f"genes of the cells: {summary.genes}")
    for label, counts in summary.rejected.items():
        rejected = f"{sum(counts.values())} {label} rejected ({format_counts(counts)})"
        options.report_rejects(rejected, summary.rejects, summary.output, console)
    console.note(
        f"{summary.regulons:,} regulons with {summary.edges:,} edges: {summary.somewhere:,} active in some of the "
        f"cells, {summary.everywhere:,} in all, {summary.nowhere:,} in none"
    )
    console.note(
        f"{summary.cells:,} cells, {summary.regulons_per_cell:,} regulons and {summary.edges_per_cell:,} edges to a "
        f"cell on the mean, written in {summary.seconds:.1f} s: {summary.output}"
    )
