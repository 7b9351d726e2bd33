"""Options of the scoring commands, their result's file, and one result per cell state."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ugrn.runtime import Scorer
from ugrn.runtime.engine.session import CPU_BUDGET_MB
from ugrn.runtime.engine.states import read_states
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.outputs import format_suffix, full_suffix

from .console import Console, reader_may_leave

STANDARD_OUTPUT = "-"
SHOWN_REJECTS = 5
STARTED_OVER = "an unfinished run with other settings or another list lay beside the result; it was started over"

ArtifactFolder = Annotated[
    str | None,
    typer.Option(
        help="Artifact: a folder, a name of 'ugrn artifacts list', or owner/repository@commit of a model hub; the "
        "bundled one if left out."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="Result: .csv, .tsv, .graphml, .sif (each also .gz), .parquet or .h5; - for standard output.",
    ),
]
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        help="Columns: ugrn (all), decoupler (source, target, weight) or pyscenic (TF, target, importance). Or what "
        "the suffix does not say: csv, tsv, parquet, h5, graphml, sif.",
    ),
]
Genes = Annotated[
    Path | None,
    typer.Option(help="One gene per line (also .gz; - for standard input), or the genes of an .h5ad; all if left out."),
]
TopK = Annotated[int | None, typer.Option(help="Keep the strongest edges only, this many per source.")]
CountedBy = Annotated[str, typer.Option(help="Whether --top-k counts per source or per target.")]
MinProbability = Annotated[float, typer.Option(help="Leave out weaker edges (after --prior).")]
Strict = Annotated[bool, typer.Option(help="Fail if any gene cannot be used.")]
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
    int,
    typer.Option(
        help=f"Memory budget of the graph's runs, MiB; 0: {CPU_BUDGET_MB} on the CPU, half of what is free on a GPU."
    ),
]


def need_output(output: Path | None, json: bool) -> Path:
    """The result's path, which has no default and leaves standard output to `json`."""
    if str(output) == STANDARD_OUTPUT and json:
        raise typer.BadParameter("--json and -o - would both write to standard output", param_hint="-o")  # noqa: EM101
    if output is None:
        raise typer.BadParameter("say where the result goes, e.g. -o edges.csv", param_hint="-o")  # noqa: EM101
    return output


@contextmanager
def result_file(output: Path, format_name: str) -> Iterator[Path]:
    """The file a run writes: the output or, for ``-``, a temporary one that goes to standard output in the end.

    Raises:
        InputError: the format is not known.
    """
    if str(output) != STANDARD_OUTPUT:
        yield output
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"edges{format_suffix(format_name)}"
        yield path
        with reader_may_leave(), path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def report_rejects(line: str, rejects: Path | None, output: Path, console: Console) -> None:
    """Name the file of a run's rejects or, where its result goes to standard output, the first of them."""
    if rejects is None or str(output) != STANDARD_OUTPUT:
        console.note(f"{line}: {rejects}")
        return
    with rejects.open(encoding="utf-8") as file:
        console.warn("".join([f"{line}: the first of them:\n", *islice(file, 1 + SHOWN_REJECTS)]).rstrip())


def in_states(
    scorer: Scorer,
    reads: Sequence[Path | None],
    output: Path,
    context_values: Path | None,
    groupby: str | None,
    context_size: int,
    console: Console,
) -> Iterator[tuple[Scorer, Path]]:
    """The scorer and the result's path of every cell state; those given where no state is asked for.

    Raises:
        InputError: the states cannot be read, their results would bear the same name, or there are several where one
            of the lists that are read, or the result, is a stream.
    """
    if context_values is None:
        if groupby is not None or context_size:
            raise typer.BadParameter("--groupby and --context-size need --context-values", param_hint="--groupby")  # noqa: EM101
        yield scorer, output
        return
    states = read_states(context_values, scorer.artifact, groupby, context_size)
    if len(states) > 1 and STANDARD_OUTPUT in map(str, [*reads, output]):
        message = f"- stands for one stream, and {groupby} has {len(states)} groups, each with a result; give files"
        raise InputError(message)
    if len({_file_name(state.name) for state in states}) < len(states):
        message = f"groups of {groupby} give the same file names: {sorted(state.name for state in states)}; rename them"
        raise InputError(message)
    for state in states:
        console.note(f"{state.name or 'cell state'}: {len(state.genes)} context genes")
        suffix = full_suffix(output)
        named = output.with_name(f"{output.name.removesuffix(suffix)}.{_file_name(state.name)}{suffix}")
        yield scorer.in_state(state), named if state.name and str(output) != STANDARD_OUTPUT else output


def _file_name(group: str) -> str:
    """A group's name with what file systems take."""
    return re.sub(r"[^A-Za-z0-9+_-]+", "-", group).strip("-") or "group"
