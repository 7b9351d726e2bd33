"""Reading the data of a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .data import TaskData, TaskKind
from .drug_class import read_drug_classes
from .drug_response import read_drug_responses
from .files import FOLDERS, tasks_folder
from .perturbations import read_perturbations


def read_tasks(folder: Path, kind: TaskKind, quick: bool = False) -> Sequence[TaskData]:
    """All data sets of a task, the main one first.

    Args:
        folder: that has the folders ``perturbation_prediction``, ``drug_response`` and ``single_cell_drug``, or has a
            folder ``tasks`` with these.
        kind: of the task.
        quick: the main data set alone, and of it every fourth cell line or cell, where rows are such.

    Raises:
        InputError: files are missing, all of which are named, or cannot be read; or rdkit is not installed, without
            which drugs' structures cannot be read.
    """
    inner = tasks_folder(folder) / FOLDERS[kind]
    if kind == "perturbation":
        return read_perturbations(inner, quick)
    return read_drug_responses(inner, quick) if kind == "drug-response" else read_drug_classes(inner, quick)
