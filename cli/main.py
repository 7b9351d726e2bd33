"""Entry point: subcommands, with the exit codes of `exits`."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from . import (
    adapt,
    artifacts,
    benchmark,
    doctor,
    export,
    genes,
    info,
    link,
    network,
    pretrain,
    report,
    score,
    train,
)
from .exits import exit_codes

app = typer.Typer(
    name="ugrn",
    help="Regulator-to-target probabilities from frozen single-cell foundation models.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() and sys.stderr.isatty() else None,  # no boxes in pipes and logs
)
for command in (
    score,
    network,
    link,
    report,
    genes,
    info,
    doctor,
    export,
    train,
    pretrain,
    adapt,
    benchmark,
):
    app.command(command.NAME, help=command.HELP)(command.command)
app.add_typer(artifacts.app, name=artifacts.NAME)
RESUMABLE = (score.NAME, network.NAME, pretrain.NAME, adapt.NAME, benchmark.NAME)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ugrn {version('ugrn')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """What holds for all commands."""


def run() -> None:
    """Run the command line."""
    with exit_codes(lambda: _interrupted(sys.argv[1:])):
        app()


def _interrupted(arguments: list[str]) -> str:
    """How a run that was interrupted is resumed."""
    if arguments and arguments[0] in RESUMABLE and not any(each.startswith("--per-cell") for each in arguments):
        return f"interrupted; to go on with what was finished, run it again: {shlex.join(['ugrn', *arguments])}"
    return "interrupted; nothing was changed"
