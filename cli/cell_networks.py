"""What ``ugrn network --per-cell`` adds: its options, and a network for every cell."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ugrn.runtime import NetworkSettings, Scorer
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.outputs import check_output
from ugrn.runtime.genes.pairs import format_counts

from .console import Console
from .extras import needs

if TYPE_CHECKING:
    from ugrn.export.networks.per_cell import CellNetworkSummary

PANEL = "A network for every cell"

PerCell = Annotated[
    Path | None,
    typer.Option(
        help="Cells (.h5ad): write the network of every cell, as .h5. Needs --top-k, --min-probability or --regulons.",
        rich_help_panel=PANEL,
    ),
]
RegulonFile = Annotated[
    Path | None,
    typer.Option(
        "--regulons",
        help="Score nothing, and take this network: a result, a pair list, eRegulons of SCENIC+, .gmt.",
        rich_help_panel=PANEL,
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        help="Networks of other cells, by --per-cell: every cell gets those of its nearest ones.", rich_help_panel=PANEL
    ),
]
ReferenceCells = Annotated[Path | None, typer.Option(help="The cells of --reference (.h5ad).", rich_help_panel=PANEL)]
Neighbours = Annotated[
    int, typer.Option(help="Nearest cells of --reference; most of them decide.", rich_help_panel=PANEL)
]
TopShare = Annotated[
    float, typer.Option(help="Share of a cell's genes within which targets count (AUCell).", rich_help_panel=PANEL)
]
MinTargets = Annotated[
    int, typer.Option(help="Leave out regulons with fewer targets among the cells' genes.", rich_help_panel=PANEL)
]


@dataclass(frozen=True)
class CellOptions:
    """The options, as given."""

    regulons: Path | None = None
    reference: Path | None = None
    reference_cells: Path | None = None
    neighbours: int = 5
    top_share: float = 0.05
    min_targets: int = 5

    @property
    def given(self) -> list[str]:
        """Those that are not as they are if left out."""
        return [f"--{each.name.replace('_', '-')}" for each in fields(self) if getattr(self, each.name) != each.default]

    def check(self, per_cell: Path | None, output: Path, settings: NetworkSettings, lists: bool) -> None:
        """Refuse what cannot be, before any work is done.

        Args:
            per_cell: the cells.
            output: of the command.
            settings: of the scored network.
            lists: whether sources, targets or a cell state are given.

        Raises:
            InputError: options exclude each other, or one is missing.
        """
        taken = "--regulons" if self.regulons is not None else "--reference" if self.reference is not None else ""
        of_reference = {"--reference", "--reference-cells", "--neighbours"}
        message = ""
        if per_cell is None and self.given:
            message = f"{', '.join(self.given)}: for networks of cells; add --per-cell"
        elif (self.reference is None) != (self.reference_cells is None):
            message = "--reference are networks and --reference-cells the cells they are of; give both"
        elif self.reference is None and self.neighbours != 5:
            message = "--neighbours: of a --reference; add it, or leave --neighbours out"
        elif self.reference is not None and set(self.given) - of_reference:
            message = f"--reference has the regulons already; leave out {', '.join(set(self.given) - of_reference)}"
        elif taken and (lists or settings != NetworkSettings(format=settings.format)):
            message = (
                f"{taken}: nothing is scored then; leave out --sources, --targets, --top-k, --by, --min-probability, "
                "--prior, --strict and --context-values"
            )
        elif per_cell is not None and not taken and settings.top_k is None and settings.min_probability == 0:
            message = (
                "--per-cell: all pairs would be edges; add --top-k or --min-probability, or a network as --regulons"
            )
        elif per_cell is not None and (output.suffix.lower() != ".h5" or settings.format not in ("ugrn", "h5")):
            message = f"{output}: networks of cells are written as .h5; name it so with -o, without --format"
        if message:
            raise InputError(message)


def write_cells(
    per_cell: Path,
    options: CellOptions,
    scorer: Scorer,
    lists: tuple[Path | None, Path | None],
    output: Path,
    settings: NetworkSettings,
    console: Console,
) -> None:
    """Write the networks of cells, and say what was done."""
    with needs("export", "ugrn network --per-cell"):
        from ugrn.export.networks.basis import listed_basis, scored_basis
        from ugrn.export.networks.cell_networks import CellNetworks
        from ugrn.export.networks.nearest import write_from_reference
        from ugrn.export.networks.per_cell import CellNetworkSettings, read_many_cells, write_per_cell
    check_output(output, [*lists, per_cell, options.regulons, options.reference, options.reference_cells])
    artifact = scorer.artifact
    if options.reference is not None and options.reference_cells is not None:
        reference = CellNetworks.open(options.reference)
        summary = write_from_reference(
            per_cell, reference, options.reference_cells, output, artifact, options.neighbours, console.progress
        )
    else:
        asked = CellNetworkSettings(options.top_share, options.min_targets)
        cells = read_many_cells(per_cell, artifact.names)  # before anything is scored
        if options.regulons is None:
            basis = scored_basis(scorer, *lists, settings, console.progress("pairs"))
        else:
            basis = listed_basis(options.regulons, artifact.names)
        for note in basis.notes:
            console.note(note)
        summary = write_per_cell(basis, cells, output, artifact, asked, console.progress)
    _print_summary(summary, console)
    console.result(summary)


def _print_summary(summary: CellNetworkSummary, console: Console) -> None:
    console.note(f"genes of the cells: {summary.genes}")
    for label, counts in summary.rejected.items():
        console.note(f"{sum(counts.values())} {label} rejected ({format_counts(counts)}): {summary.rejects}")
    console.note(
        f"{summary.regulons:,} regulons with {summary.edges:,} edges: {summary.somewhere:,} active in some of the "
        f"cells, {summary.everywhere:,} in all, {summary.nowhere:,} in none"
    )
    console.note(
        f"{summary.cells:,} cells, {summary.regulons_per_cell:,} regulons and {summary.edges_per_cell:,} edges to a "
        f"cell on the mean, written in {summary.seconds:.1f} s: {summary.output}"
    )
