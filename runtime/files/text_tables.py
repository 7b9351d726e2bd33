"""Small tables whose cells are texts, and whose columns are found by any of several names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from ..errors import InputError


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
            tabs = len(pl.read_csv(path, separator="\t", n_rows=0, infer_schema=False).columns)
            separator = "\t" if tabs > 1 else ","
            table = pl.read_csv(path, separator=separator, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
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
