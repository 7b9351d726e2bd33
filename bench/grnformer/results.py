"""The table of results: one value to a row, so that every mean and every interval can be made from it."""

from __future__ import annotations

from typing import Literal

import polars as pl
from numpy.typing import ArrayLike

from ugrn.runtime.errors import InputError

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


def check_results(results: pl.DataFrame) -> None:
    """Refuse results that no table can be made of.

    Raises:
        InputError: they are of unknown tasks, or hold a value twice.
    """
    unknown = sorted(set(results["task"]) - set(KINDS))
    if unknown:
        message = f"the results are of the tasks {', '.join(unknown)}; expected some of {', '.join(KINDS)}"
        raise InputError(message)
    twice = int(results.select(ONE).is_duplicated().sum())
    if twice:
        message = f"the results: {twice} of {len(results)} values are there twice; expected one to a {', '.join(ONE)}"
        raise InputError(message)
