"""pandas data frames in and out, where pandas is installed; pyarrow is not needed."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import polars as pl

from ..errors import MissingExtraError


class FrameLike(Protocol):
    """The part of a pandas data frame that is used."""

    columns: Any
    iloc: Any


def from_pandas(frame: FrameLike) -> pl.DataFrame:
    """The columns of a pandas data frame, without its index; missing objects become null."""
    columns = []
    for index, name in enumerate(frame.columns):
        column = frame.iloc[:, index]
        if isinstance(column.dtype, np.dtype) and column.dtype != object:
            values = column.to_numpy()
        else:  # text, categories, and pandas' own types
            values = column.astype(object).where(column.notna(), None).tolist()
        columns.append(pl.Series(str(name), values, strict=False))
    return pl.DataFrame(columns)


def to_pandas(edges: pl.DataFrame) -> Any:
    """A result as a pandas data frame.

    Raises:
        MissingExtraError: pandas is not installed.

    Example:
        >>> to_pandas(load().score([("POU5F1", "NANOG")]))
    """
    try:
        import pandas
    except ImportError as error:
        what = "a pandas data frame"
        raise MissingExtraError(what, "pandas") from error
    return pandas.DataFrame({column.name: _values(column) for column in edges})


def _values(column: pl.Series) -> np.ndarray[Any, Any] | list[Any]:
    """NumPy's values of numbers and times, in which missing ones are NaN or NaT; else Python's, with None."""
    plain = column.dtype.is_integer() or column.dtype.is_float() or column.dtype in (pl.Datetime, pl.Duration)
    return column.to_numpy() if plain else column.to_list()
