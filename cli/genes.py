"""``ugrn genes``: what the names of a list are matched with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime import bundled_artifact, open_artifact
from ugrn.runtime.gene_lists import read_genes

from .options import ArtifactFolder

NAME = "genes"
HELP = """Say which gene of the artifact every name of a list is matched with, as what, or why with none.

Example: ugrn genes names.txt > matched.tsv
"""


def command(
    names: Annotated[Path, typer.Argument(help="One name per line (also .gz): symbols, other names or ids.")],
    artifact: ArtifactFolder = None,
) -> None:
    vocabulary = open_artifact(artifact or bundled_artifact()).names
    matches = read_genes("names", names, vocabulary).matches
    typer.echo(vocabulary.table(matches).write_csv(separator="\t"), nl=False)
    typer.echo(matches.say(), err=True)
