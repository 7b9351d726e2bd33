"""``ugrn adapt``: feed a network back into a backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Console, Json, Quiet
from .exits import needs

RESUMABLE = True
HELP = """Train an adapter that hands a network to a backbone (GRNFormer), which then exports like any other.

Run the same command again to resume a run that was stopped.

Examples:

    ugrn adapt --network my-network.csv --cells cells.h5ad -o my-adapted

    ugrn adapt CHECKPOINT_FOLDER --family scgpt --network my-network.csv --cells cells.h5ad -o my-adapted-scgpt
"""


def command(
    networks: Annotated[
        list[Path],
        typer.Option("--network", help="Edges, as ugrn score writes or reads them; repeatable, structures are summed."),
    ],
    cells: Annotated[Path, typer.Option(help="Cells to train on: .h5ad, counts or log-normalised.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    backbone: Annotated[
        str | None,
        typer.Argument(
            metavar="[ARTIFACT_OR_CHECKPOINT]",
            help="Checkpoint folder, or artifact with weights of the mini backbone; the bundled one if left out.",
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(help="Family of the checkpoint: mini (if left out), scgpt, scbenchmark, scfoundation or scbert."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, an option of the family; repeatable.")
    ] = None,
    readout: Annotated[str | None, typer.Option(help="Readout to train; the family's default if left out.")] = None,
    steps: Annotated[int, typer.Option(min=1)] = 2000,
    edge_perturbation: Annotated[
        float,
        typer.Option(
            help="Share of the edges that co-expression links of the cells replace in each step.", min=0, max=1
        ),
    ] = 0.2,
    unfreeze: Annotated[bool, typer.Option(help="Train the backbone along, at a tenth of the rate.")] = False,
    seed: Annotated[int, typer.Option(help="Of weights, batches and held-out cells.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: torch decides.", min=0)] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    with needs("export", "ugrn adapt"):
        from ugrn.export.adapter.adapt import adapt_to_folder, check_output, open_base
        from ugrn.export.adapter.held_out import evaluation_lines
        from ugrn.export.adapter.train import AdaptConfig
    check_output(output)  # before a checkpoint is read
    config = AdaptConfig(steps=steps, perturbation=edge_perturbation, unfreeze=unfreeze, seed=seed)
    base = open_base(backbone, family, settings or [])
    progress = console.training_progress()
    metadata = adapt_to_folder(base, networks, cells, output, readout, config, threads, progress, console.note)
    console.note(f"adapter written: {output}; next: ugrn export adapted {output} -o ARTIFACT")
    console.result({"output": output, **metadata}, evaluation_lines(metadata["held_out"]))
