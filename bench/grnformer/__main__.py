"""``python -m bench.grnformer``: the worth of a network to a model, on three downstream tasks."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ugrn.cli.console import Console, Json, Quiet
from ugrn.cli.exits import exit_codes, needs
from ugrn.cli.options import ArtifactFolder
from ugrn.runtime import load
from ugrn.runtime.errors import InputError

PROGRAM = "python -m bench.grnformer"
HELP = """Test on three tasks what feeding networks back into a backbone is worth, next to networks that know nothing.

DATA_DIR holds perturbation_prediction, drug_response and single_cell_drug (or a folder tasks with them). The tasks are
perturbation (how expression changes when a gene is perturbed), drug-response (how much of a drug a cell line takes) and
drug-class (which cells were treated). Run the same command again to resume.

Examples:

    python -m bench.grnformer data -o results --quick

    python -m bench.grnformer data --task drug-class --checkpoint my-pretrained -o results
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=HELP)
def command(
    data: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Folder of the tasks' data.", exists=True)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for tables, figure and report.")],
    task: Annotated[
        list[str] | None,
        typer.Option(help="perturbation, drug-response or drug-class; repeatable, all if left out."),
    ] = None,
    artifact: ArtifactFolder = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Folder of the backbone's weights; those of the artifact if left out.", exists=True),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Family of the checkpoint: mini (if left out), scgpt or scbenchmark.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, an option of the family; repeatable.")
    ] = None,
    genes: Annotated[int, typer.Option(help="Genes that a cell shows, at most: the most variable.", min=8)] = 128,
    targets: Annotated[int, typer.Option(help="Strongest targets of every gene that make ugrn's network.", min=1)] = 20,
    seeds: Annotated[int, typer.Option(help="Splits and trainings of everything.", min=1)] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="The main data set of each task, in part, and two seeds: a few minutes.")
    ] = False,
    threads: Annotated[int, typer.Option(help="Fits at the same time; 0: as many as processors.", min=0)] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    if checkpoint is None and (family is not None or settings):
        message = "--family and --set are for checkpoints; give one with --checkpoint, or leave them out"
        raise InputError(message)
    with needs("benchmark", PROGRAM):
        from ugrn.export.adapter.adapt import open_base

        from .evaluation import read_work, run_evaluation
        from .plan import claim, make_plan, tasks_of
        from .prepare import Resources
        from .tokens import frozen

    tasks = tasks_of(task or [])
    scorer = load(artifact, threads=threads)
    base = open_base(artifact) if checkpoint is None else open_base(str(checkpoint), family or "mini", settings or [])
    tools = Resources(frozen(base.loaded), scorer, min(genes, 64) if quick else genes, targets)
    plan = make_plan(tasks, min(seeds, 2) if quick else seeds, quick, tools, data, checkpoint, settings or [])
    works = read_work(plan, data, tools)
    claim(output, plan)

    line = console.progress("fits", every=15.0)

    def progress(stage: str, done: int, total: int) -> None:
        line(done, total, stage)

    name = f"{scorer.artifact.manifest.backbone} ({scorer.artifact.digest[:12]})"
    metadata = {"artifact": name, "backbone": base.metadata}
    jobs = threads or os.cpu_count() or 1
    results = run_evaluation(plan, works, tools, output, metadata, console.note, progress, jobs)
    console.result({"output": output, "results": len(results)}, [f"{output}: {len(results):,} results"])


def interrupted() -> str:
    """The message of an interrupt: the command that resumes the run."""
    again = shlex.join([*PROGRAM.split(), *sys.argv[1:]])
    return f"interrupted; to go on with what was finished, run it again: {again}"


if __name__ == "__main__":
    with exit_codes(interrupted):
        app()
