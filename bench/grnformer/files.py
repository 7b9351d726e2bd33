"""Files of the tasks: what is missing is named at once, and what cannot be read says what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ugrn.runtime.errors import InputError
from ugrn.runtime.files.text import UNREADABLE_TABLE

from .data import TaskKind

FOLDERS: dict[TaskKind, str] = {
    "perturbation": "perturbation_prediction",
    "drug-response": "drug_response",
    "drug-class": "single_cell_drug",
}


def tasks_folder(folder: Path) -> Path:
    """The folder of a data folder's tasks: itself, or its folder ``tasks``."""
    inner = folder / "tasks"
    return inner if inner.is_dir() else folder


def require(folder: Path, names: Sequence[str]) -> list[Path]:
    """Paths of a folder's files.

    Raises:
        InputError: some are missing; all of these are named.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        message = (
            f"{folder}: {len(missing)} of {len(names)} files are missing: {', '.join(missing)}; give the folder of the "
            "tasks' data, or the one that holds it as 'tasks'"
        )
        raise InputError(message)
    return [folder / name for name in names]


def read_table(path: Path, columns: Sequence[str], others: bool = False) -> pl.DataFrame:
    """A Parquet, tab-separated or comma-separated table: the columns asked for, and behind them the others if so.

    Columns of text tables are text, and an empty cell is an empty text.

    Raises:
        InputError: it cannot be read, or lacks a column.
    """
    try:
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
        else:
            separator = "\t" if path.suffix == ".tsv" else ","
            table = pl.read_csv(path, separator=separator, infer_schema_length=0).fill_null("")
        return table.select(*columns, *([pl.exclude(columns)] if others else []))
    except (ValueError, *UNREADABLE_TABLE) as error:
        message = f"{path}: {error}; expected a table with the columns {', '.join(columns)}"
        raise InputError(message) from error
