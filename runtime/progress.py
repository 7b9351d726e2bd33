"""Callbacks by which long work reports on itself."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is in all."""
StageProgress = Callable[[str, int, int], None]
"""The same, with the name of the stage before it."""
Notify = Callable[[str], None]
"""Called with a line to show."""


def silent(done: int, total: int) -> None:
    """Report nothing."""
