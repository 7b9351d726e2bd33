"""The table of results: one value to a row, so that every mean and every interval can be made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl
from numpy.typing import ArrayLike

from ugrn.runtime.errors import InputError
from ugrn.runtime.formats import replace_with

from .data import KINDS, Split, TaskData
from .metrics import measure

ArmKind = Literal["baseline", "adapter"]
SCHEMA = pl.Schema(
    {
        **dict.fromkeys(("task", "data", "split", "arm", "kind"), pl.String()),
        "seed": pl.Int64(),
        **dict.fromkeys(("unit", "metric"), pl.String()),
        "value": pl.Float64(),
    }
)
ONE = ["task", "data", "split", "arm", "seed", "unit", "metric"]


def results_of(data: TaskData, split: Split, arm: str, kind: ArmKind, seed: int, predicted: ArrayLike) -> pl.DataFrame:
    """Rows of `SCHEMA` of one prediction of a test part; see `measure`."""
    shared = {"task": data.kind, "data": data.name, "split": split.name, "arm": arm, "kind": kind, "seed": seed}
    values = measure(data, split, predicted)
    return pl.DataFrame(
        [{**shared, "unit": each.unit, "metric": each.metric, "value": each.value} for each in values], schema=SCHEMA
    )


def write_results(results: pl.DataFrame, path: Path) -> None:
    """Write results as Parquet; `path` is the old file or the whole new one."""
    replace_with(path, lambda part: results.select(SCHEMA.names()).write_parquet(part))


def read_results(path: Path) -> pl.DataFrame:
    """Results from a Parquet file.

    Raises:
        InputError: it cannot be read, lacks a column, names no such task, or holds a value twice.
    """
    try:
        results = pl.read_parquet(path).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        message = f"{path}: {error}; expected results with the columns {', '.join(SCHEMA)}"
        raise InputError(message) from error
    check_results(results, str(path))
    return results


def check_results(results: pl.DataFrame, name: str = "the results") -> None:
    """Refuse results that no table can be made of.

    Raises:
        InputError: see `read_results`.
    """
    unknown = sorted(set(results["task"]) - set(KINDS))
    if unknown:
        message = f"{name}: tasks {', '.join(unknown)}; expected some of {', '.join(KINDS)}"
        raise InputError(message)
    twice = int(results.select(ONE).is_duplicated().sum())
    if twice:
        message = f"{name}: {twice} of {len(results)} values are there twice; expected one to a {', '.join(ONE)}"
        raise InputError(message)
