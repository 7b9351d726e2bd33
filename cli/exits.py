"""Errors turned into one message and an exit code, and failed imports of an extra into the line that mends them.

Exit codes: 0 done, 1 our fault or the machine's, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from ugrn.runtime.errors import InputError, MissingExtraError, ProviderError, UgrnError


@contextmanager
def exit_codes(interrupted: Callable[[], str]) -> Iterator[None]:
    """Leave the process with a message on standard error where a command fails.

    Args:
        interrupted: the message where the user stopped it.
    """
    try:
        yield
    except SystemExit as stop:
        if stop.code == 130:
            typer.echo(f"ugrn: {interrupted()}", err=True)
        raise
    except (InputError, MissingExtraError, ProviderError) as error:
        _fail(str(error), 2)
    except UgrnError as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(f"the system refused: {error}", 1)


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Turn a failed import of a third-party package into the pip line that mends it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ugrn"):
            raise
        missing = f"{what} ({error.name})"
        raise MissingExtraError(missing, extra) from error


def _fail(message: str, code: int) -> None:
    typer.echo(f"ugrn: {message}", err=True)
    sys.exit(code)
