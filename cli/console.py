"""All talk to the terminal: notes and progress on standard error, results on standard output."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from ugrn.export.pretrain.loop import TrainingStatus

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


class ProgressLine:
    """Progress on standard error: one moving line with rate and ETA on a terminal, plain lines in a pipe.

    Args:
        unit: of what is counted, e.g. ``pairs``.
        every: seconds between plain lines where standard error is no terminal.
        silent: show nothing.
    """

    def __init__(self, unit: str, every: float = 5.0, silent: bool = False) -> None:
        self.unit = unit
        self.silent = silent
        self.terminal = sys.stderr.isatty()
        self.every = 0.1 if self.terminal else every
        self.started = self.shown = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, total: int, note: str = "", *, now: bool = False) -> None:
        """Report that `done` of `total` are done; `note` is shown behind, at once where `now` is set."""
        if self.silent:
            return
        time_now = time.monotonic()
        if self.first is None:
            self.first = done if done < total else 0
        if time_now - self.shown < self.every and done < total and not now:
            return
        self.shown = time_now
        rate = (done - self.first) / max(time_now - self.started, 1e-9)
        left = f", {_clock((total - done) / rate)} left" if rate > 0 and done < total else ""
        line = f"{done:,} of {total:,} {self.unit} ({_rate(rate)} {self.unit}/s{left}){'  ' + note if note else ''}"
        if not self.terminal:
            print(line, file=sys.stderr, flush=True)
            return
        end = "\n" if done >= total else ""
        print(f"\r\x1b[K{line}", end=end, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Console:
    """The terminal of a command.

    Attributes:
        quiet: leave out notes and progress.
        json: results as JSON, one object to a line, in place of lines for people.
    """

    quiet: bool = False
    json: bool = False

    def note(self, line: str) -> None:
        """Print a line on standard error."""
        if not self.quiet:
            self.warn(line)

    def warn(self, line: str) -> None:
        """Print on standard error what is written down nowhere else, also where quiet is asked for."""
        typer.echo(line, err=True)

    def progress(self, unit: str, every: float = 5.0) -> ProgressLine:
        """A progress line; see `ProgressLine`."""
        return ProgressLine(unit, every, self.quiet)

    def training_progress(self) -> Callable[[TrainingStatus], None]:
        """A progress line with the loss and, at once where they are new, the scores on held-out rows."""
        line = self.progress("steps", every=30.0)

        def progress(status: TrainingStatus) -> None:
            scores = ", ".join(f"{name} {value:.4f}" for name, value in (status.held_out or {}).items())
            note = f"loss {status.loss:.4f}" + (f"; held out: {scores}" if scores else "")
            line(status.step, status.steps, note, now=bool(scores))

        return progress

    def result(self, metadata: Mapping[str, Any] | DataclassInstance, lines: Iterable[str] = ()) -> None:
        """Print a result on standard output: `metadata` as JSON, or `lines`."""
        if self.json:
            whole = asdict(metadata) if is_dataclass(metadata) else metadata
            lines = [json.dumps(whole, ensure_ascii=False, default=str)]
        with reader_may_leave():
            for line in lines:
                typer.echo(line)


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
