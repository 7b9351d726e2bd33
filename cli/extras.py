"""Commands that need an optional extra say so in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ugrn.runtime.errors import MissingExtraError


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
