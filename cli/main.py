"""Entry point: subcommands, and errors turned into one message and an exit code.

Exit codes: 0 done, 1 our fault or the machine's, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from ugrn.runtime.errors import InputError, MissingExtraError, ProviderError, UgrnError

from . import benchmark, doctor, export, info, network, pretrain, report, score, train

app = typer.Typer(
    name="ugrn",
    help="Regulator-to-target probabilities from frozen single-cell foundation models.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
for command in (score, network, report, info, doctor, export, train, pretrain, benchmark):
    app.command(command.NAME, help=command.HELP)(command.command)


def run() -> None:
    """Run the command line."""
    try:
        app()
    except SystemExit as stop:
        if stop.code == 130:
            typer.echo(
                "ugrn: interrupted; score, network, pretrain and benchmark go on where they stopped when run again",
                err=True,
            )
        raise
    except (InputError, MissingExtraError, ProviderError) as error:
        _fail(str(error), 2)
    except UgrnError as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(f"the system refused: {error}", 1)


def _fail(message: str, code: int) -> None:
    typer.echo(f"ugrn: {message}", err=True)
    sys.exit(code)
