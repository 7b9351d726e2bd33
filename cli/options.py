"""What the scoring commands share: their options, and one result per cell state."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime import Scorer
from ugrn.runtime.errors import InputError
from ugrn.runtime.states import read_states

from .talk import Talk

ArtifactFolder = Annotated[
    str | None,
    typer.Option(
        help="Artifact: a folder, a name of 'ugrn artifacts list', or owner/repository@commit of a model hub; the "
        "bundled one if left out."
    ),
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Result: .csv, .tsv, .parquet or .h5.")]
Prior = Annotated[float | None, typer.Option(help="Expected share of edges among the pairs, e.g. 0.01.")]
ContextValues = Annotated[
    Path | None,
    typer.Option(help="Score in a cell state: a profile (.csv with gene, value) or cells (.h5ad), averaged."),
]
GroupBy = Annotated[
    str | None, typer.Option(help="Annotation of the cells; one result per group, named OUTPUT.GROUP.csv.")
]
ContextSize = Annotated[int, typer.Option(help="Context genes taken from cells; 0: by the model.", min=0)]
Provider = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0: as many as the machine offers.")]
MemoryMb = Annotated[
    int, typer.Option(help="Memory budget of the graph's runs, MiB; 0: 256 on the CPU, half of what is free on a GPU.")
]


def need_output(output: Path | None) -> Path:
    """The result's path, which has no default."""
    if output is None:
        raise typer.BadParameter("say where the result goes, e.g. -o edges.csv", param_hint="-o")  # noqa: EM101
    return output


def in_states(
    scorer: Scorer, output: Path, context_values: Path | None, groupby: str | None, context_size: int, talk: Talk
) -> Iterator[tuple[Scorer, Path]]:
    """The scorer and the result's path of every cell state; those given where no state is asked for.

    Raises:
        InputError: the states cannot be read, or their results would bear the same name.
    """
    if context_values is None:
        if groupby is not None or context_size:
            raise typer.BadParameter("--groupby and --context-size need --context-values", param_hint="--groupby")  # noqa: EM101
        yield scorer, output
        return
    states = read_states(context_values, scorer.artifact, groupby, context_size)
    if len({_file_name(state.name) for state in states}) < len(states):
        message = f"groups of {groupby} give the same file names: {sorted(state.name for state in states)}; rename them"
        raise InputError(message)
    for state in states:
        talk.note(f"{state.name or 'cell state'}: {len(state.genes)} context genes")
        named = output.with_name(f"{output.stem}.{_file_name(state.name)}{output.suffix}") if state.name else output
        yield scorer.in_state(state), named


def _file_name(group: str) -> str:
    """A group's name with what file systems take."""
    return re.sub(r"[^A-Za-z0-9+_-]+", "-", group).strip("-") or "group"
