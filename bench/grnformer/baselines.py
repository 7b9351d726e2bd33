"""The baselines of every task, fitted on the training rows, with settings chosen at validation."""

from __future__ import annotations

from ugrn.runtime.arrays import Doubles

from .class_baselines import class_baselines
from .data import DrugResponse, Perturbations, Split, TaskData
from .perturbation_baselines import GeneVectors, perturbation_baselines
from .response_baselines import response_baselines


def predict_baselines(data: TaskData, split: Split, vectors: GeneVectors | None = None) -> dict[str, Doubles]:
    """Predictions of the test part by the baseline's name, in the form that `measure` takes.

    Args:
        data: of a task.
        split: of the data.
        vectors: of a perturbation data set's genes; without them its linear baselines are left out.
    """
    if isinstance(data, Perturbations):
        return perturbation_baselines(data, split, vectors)
    return response_baselines(data, split) if isinstance(data, DrugResponse) else class_baselines(data, split)
