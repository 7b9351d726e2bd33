"""``ugrn genes``: what the names of a list are matched with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime import find_artifact
from ugrn.runtime.genes.lists import read_genes

from .console import Json, Quiet, Talk
from .options import ArtifactFolder

NAME = "genes"
HELP = """Say which gene of the artifact every name of a list is matched with, as what, or why with none.

Example: ugrn genes names.txt > matched.tsv
"""


def command(
    names: Annotated[Path, typer.Argument(help="One name per line (also .gz): symbols, other names or ids.")],
    artifact: ArtifactFolder = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    talk = Talk(quiet, json)
    vocabulary = find_artifact(artifact).names
    matches = read_genes("names", names, vocabulary).matches
    table = vocabulary.table(matches)
    talk.note(matches.say())
    talk.result(matches.facts() | {"names": table.to_dicts()}, table.write_csv(separator="\t").splitlines())
