"""Text files: their bytes, as they are or packed by gzip, and small tables whose cells are texts."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import polars as pl

from ..errors import InputError

STANDARD_INPUT = "-"
UNREADABLE_TEXT = (UnicodeDecodeError, OSError, EOFError, zlib.error)
"""Errors of reading bytes that are no text, or damaged ones that gzip packed."""
UNREADABLE_TABLE = (pl.exceptions.PolarsError, *UNREADABLE_TEXT)
"""Errors of reading something as a table of text or Parquet."""


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


def read_table(path: Path) -> pl.DataFrame:
    """A table of texts: Parquet, or CSV and TSV (also ``.gz``), the separator by the first line.

    Raises:
        InputError: it cannot be read, or is empty.
    """
    if not path.is_file():
        message = f"{path}: no such file; expected a table (.tsv, .csv, also .gz, or .parquet)"
        raise InputError(message)
    try:
        if path.suffix.lower() == ".parquet":
            table = pl.read_parquet(path).with_columns(pl.all().cast(pl.String))
        else:
            with open_text(path) as file:
                first = next((line for line in file if line.strip()), b"")
            separator = "\t" if b"\t" in first else ","
            table = pl.read_csv(path, separator=separator, infer_schema=False)
    except UNREADABLE_TABLE as error:
        message = f"{path}: cannot be read as a table ({error}); expected .tsv, .csv (also .gz) or .parquet"
        raise InputError(message) from error
    if len(table) == 0:
        message = f"{path}: has no rows below its column names {table.columns}"
        raise InputError(message)
    return table


def first_of(columns: Mapping[str, object], names: Sequence[str]) -> str | None:
    """The first of some names that is among the columns; None where none is."""
    return next((name for name in names if name in columns), None)


def column_of(table: pl.DataFrame, names: Sequence[str]) -> str | None:
    """The first of some names that a table has a column of, in any case, as it is written there."""
    folded = {name.strip().lower(): name for name in reversed(table.columns)}
    found = first_of(folded, names)
    return None if found is None else folded[found]
