"""Entry point: subcommands, with the exit codes of `exits`."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from ugrn.runtime.errors import InputError

from .exits import exit_codes

COMMANDS = {
    name: import_module(f".{name.replace('-', '_')}", __package__)
    for name in (
        "score",
        "network",
        "cell-networks",
        "link",
        "report",
        "genes",
        "info",
        "doctor",
        "export",
        "train",
        "pretrain",
        "adapt",
        "benchmark",
        "artifacts",
    )
}
"""The modules of the commands, by name: each has HELP and `command` (a function, or an app of verbs), and RESUMABLE
where the same command goes on with what an interrupted one had finished."""

app = typer.Typer(
    name="ugrn",
    help="Regulator-to-target probabilities from frozen single-cell foundation models.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() and sys.stderr.isatty() else None,  # no boxes in pipes and logs
)
for name, module in COMMANDS.items():
    if isinstance(module.command, typer.Typer):
        app.add_typer(module.command, name=name, help=module.HELP)
    else:
        app.command(name, help=module.HELP)(module.command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ugrn {version('ugrn')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options of all commands."""


def run() -> None:
    """Run the command line."""
    with exit_codes(lambda: _interrupted(sys.argv[1:])):
        _refuse_per_cell(sys.argv[1:])
        app()


def _refuse_per_cell(arguments: list[str]) -> None:
    """Name the command that stands for ``ugrn network --per-cell CELLS``.

    Raises:
        InputError: these are its arguments.
    """
    rest = [each.removeprefix("--per-cell=") for each in arguments[1:] if each != "--per-cell"]
    if arguments[:1] == ["network"] and rest != arguments[1:]:
        message = (
            f"--per-cell: networks of cells have their own command: {shlex.join(['ugrn', 'cell-networks', *rest])}"
        )
        raise InputError(message)


def _interrupted(arguments: list[str]) -> str:
    """The message of an interrupt: the command that resumes the run, where it can be resumed."""
    if arguments and getattr(COMMANDS.get(arguments[0]), "RESUMABLE", False):
        return f"interrupted; to go on with what was finished, run it again: {shlex.join(['ugrn', *arguments])}"
    return "interrupted; nothing was changed"
