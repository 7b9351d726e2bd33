"""Bytes of text files, as they are or packed by gzip, and of standard input."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from pathlib import Path
from typing import cast

STANDARD_INPUT = "-"
UNREADABLE_TEXT = (UnicodeDecodeError, OSError, EOFError, zlib.error)
"""Errors of reading bytes that are no text, or damaged ones that gzip packed."""


def is_readable(path: Path) -> bool:
    """True where there is a file, or ``-`` stands for standard input."""
    return str(path) == STANDARD_INPUT or path.is_file()


def open_text(path: Path) -> io.BufferedIOBase:
    """A text file's bytes, unpacked where its name ends in ``.gz``; standard input where gzip packed it."""
    if str(path) == STANDARD_INPUT:
        file = io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer))
        return gzip.GzipFile(fileobj=file) if file.peek(2).startswith(b"\x1f\x8b") else file
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")
