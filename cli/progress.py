"""Progress on standard error: one moving line with rate and ETA on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """Shows how far a long piece of work is.

    Args:
        unit: what is counted, e.g. ``pairs``.
        every: seconds between plain lines where standard error is no terminal.
        shown: whether anything is shown at all.
    """

    def __init__(self, unit: str, every: float = 5.0, shown: bool = True) -> None:
        self.unit = unit
        self.silent = not shown
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


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
