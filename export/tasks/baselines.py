"""The baselines of every task, fitted on the training rows, with settings chosen at validation."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from ugrn.runtime.artifact import Artifact

from .class_baselines import class_baselines
from .data import DrugResponse, Perturbations, Split, TaskData
from .gene_vectors import GeneVectors, gene_vectors
from .penalties import Floats
from .perturbation_baselines import perturbation_baselines
from .response_baselines import response_baselines
from .results import SCHEMA, results_of
from .splits import splits


def predict_baselines(data: TaskData, split: Split, vectors: GeneVectors | None = None) -> dict[str, Floats]:
    """What each baseline predicts of the test part, in the form that `measure` takes.

    Args:
        data: of a task.
        split: of the data.
        vectors: of a perturbation data set's genes; without them its linear baselines are left out.
    """
    if isinstance(data, Perturbations):
        return perturbation_baselines(data, split, vectors)
    return response_baselines(data, split) if isinstance(data, DrugResponse) else class_baselines(data, split)


def baseline_results(data: TaskData, seeds: Iterable[int], artifact: Artifact | None = None) -> pl.DataFrame:
    """All metrics of all baselines, as rows of `SCHEMA`.

    Args:
        data: of a task.
        seeds: of the splits.
        artifact: whose gene embeddings the linear baselines of perturbations read.
    """
    vectors = None
    if artifact is not None and isinstance(data, Perturbations):
        vectors = gene_vectors(artifact, data)
    parts = [
        results_of(data, split, arm, "baseline", seed, predicted)
        for seed in seeds
        for split in splits(data, seed)
        for arm, predicted in predict_baselines(data, split, vectors).items()
    ]
    return pl.concat([pl.DataFrame(schema=SCHEMA), *parts])
