"""What a command says: notes and progress on standard error, what it found or did on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .progress import ProgressLine

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes: errors alone on standard error.")]
Json = Annotated[bool, typer.Option("--json", help="What was done, as one line of JSON on standard output.")]


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Write to standard output as long as somebody reads it, as in ``| head``."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # who reads it has seen enough; the interpreter's last flush must not fail either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True)
class Console:
    """How a command speaks.

    Attributes:
        quiet: leave out notes and progress.
        json: results as JSON, one object to a line, in place of lines for people.
    """

    quiet: bool = False
    json: bool = False

    def note(self, line: str) -> None:
        """Say something on the way, on standard error."""
        if not self.quiet:
            typer.echo(line, err=True)

    def warn(self, line: str) -> None:
        """Say on standard error what is written down nowhere else, also where quiet is asked for."""
        typer.echo(line, err=True)

    def progress(self, unit: str, every: float = 5.0) -> ProgressLine:
        """A progress line; see `ProgressLine`."""
        return ProgressLine(unit, every, shown=not self.quiet)

    def result(self, metadata: Mapping[str, Any] | DataclassInstance, lines: Iterable[str] = ()) -> None:
        """Say what was found or done, on standard output: `metadata` as JSON, or `lines`."""
        if self.json:
            whole = asdict(metadata) if is_dataclass(metadata) else metadata
            lines = [json.dumps(whole, ensure_ascii=False, default=str)]
        with reader_may_leave():
            for line in lines:
                typer.echo(line)
