"""Entry point: subcommands, and errors turned into one message and an exit code.

Exit codes: 0 done, 1 our fault or the machine's, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from ugrn.runtime.errors import InputError, MissingExtraError, ProviderError, UgrnError

from . import (
    adapt,
    artifacts,
    benchmark,
    doctor,
    evaluate_adapter,
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
    evaluate_adapter,
):
    app.command(command.NAME, help=command.HELP)(command.command)
app.add_typer(artifacts.app, name=artifacts.NAME)
RESUMABLE = (score.NAME, network.NAME, pretrain.NAME, adapt.NAME, benchmark.NAME, evaluate_adapter.NAME)


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
    try:
        app()
    except SystemExit as stop:
        if stop.code == 130:
            typer.echo(f"ugrn: {_interrupted(sys.argv[1:])}", err=True)
        raise
    except (InputError, MissingExtraError, ProviderError) as error:
        _fail(str(error), 2)
    except UgrnError as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(f"the system refused: {error}", 1)


def _interrupted(arguments: list[str]) -> str:
    """How a run that was interrupted is resumed."""
    if arguments and arguments[0] in RESUMABLE and not any(each.startswith("--per-cell") for each in arguments):
        return f"interrupted; to go on with what was finished, run it again: {shlex.join(['ugrn', *arguments])}"
    return "interrupted; nothing was changed"


def _fail(message: str, code: int) -> None:
    typer.echo(f"ugrn: {message}", err=True)
    sys.exit(code)
