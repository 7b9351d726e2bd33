"""``ugrn genes``: what the names of a list are matched with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime import find_artifact
from ugrn.runtime.genes.lists import read_genes

from .console import Console, Json, Quiet
from .options import ArtifactFolder

HELP = """Say which gene of the artifact every name of a list is matched with, as what, or why with none.

Example: ugrn genes names.txt > matched.tsv
"""


def command(
    names: Annotated[Path, typer.Argument(help="One name per line (also .gz): symbols, other names or ids.")],
    artifact: ArtifactFolder = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    vocabulary = find_artifact(artifact).names
    matches = read_genes("names", names, vocabulary).matches
    table = vocabulary.table(matches)
    console.note(matches.describe())
    console.result(matches.metadata() | {"names": table.to_dicts()}, table.write_csv(separator="\t").splitlines())
