"""Baselines of perturbations: what a model of them has to beat.

That simple models of this kind are hard to beat is the finding of Ahlmann-Eltze, Huber and Anders 2025, Nature Methods,
doi:10.1038/s41592-025-02772-6, where the bilinear one is from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ugrn.runtime.arrays import Array, Doubles
from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.errors import InputError

from .data import Perturbations, Split
from .metrics import mean_change
from .penalties import RIDGE, best, ridge, squared_error


@dataclass(frozen=True)
class GeneVectors:
    """Embeddings less their mean over the vocabulary; zero for genes that the vocabulary lacks.

    Attributes:
        perturbed: ``[P, E]``, of the perturbed genes.
        genes: ``[G, E]``.
    """

    perturbed: Array
    genes: Array


def gene_vectors(artifact: Artifact, data: Perturbations) -> GeneVectors:
    """The vectors of a data set's genes.

    Raises:
        InputError: the artifact was exported without embeddings.
    """
    if artifact.embeddings is None:
        message = f"{artifact.folder}: has no gene embeddings; the linear baselines need an artifact with embeddings"
        raise InputError(message)
    table = artifact.embeddings.astype(np.float32)
    table -= table.mean(0)

    def rows(genes: Sequence[str]) -> Array:
        ids = artifact.names.ids(genes)
        return np.where((ids >= 0)[:, None], table[ids], np.float32(0))

    return GeneVectors(rows(data.perturbed), rows(data.genes))


def perturbation_baselines(data: Perturbations, split: Split, vectors: GeneVectors | None) -> dict[str, Doubles]:
    """Changes ``[P_test, G]`` by the baseline's name; without vectors the first two alone."""
    mean = mean_change(data, split)
    everywhere = np.repeat(mean[None], len(split.test), axis=0)
    found = {"no change": np.zeros_like(everywhere), "mean change": everywhere}
    if vectors is not None:
        found["linear"] = linear(data, split, vectors)
        found["bilinear"] = bilinear(data, split, vectors)
        found["nearest perturbation"] = nearest(data, split, vectors)
    return found


def linear(data: Perturbations, split: Split, vectors: GeneVectors) -> Doubles:
    """Ridge regression from the perturbed gene's vector to the change."""
    rows, tried = [*split.validation, *split.test], []
    for penalty in RIDGE:
        fitted = ridge(vectors.perturbed[split.train], filled(data, split), penalty)
        predicted = fitted.predict(vectors.perturbed[rows])
        tried.append(_judged(predicted, data, split))
    return best(tried)


def bilinear(data: Perturbations, split: Split, vectors: GeneVectors) -> Doubles:
    """Ridge regression with both genes' vectors: change = mean + p W g, p of the perturbed gene and g of the other.

    The W of two penalties is that of `linear` with every change replaced by its ridge regression on the genes'
    vectors.
    """
    rows, tried = [*split.validation, *split.test], []
    mean = mean_change(data, split)
    known = filled(data, split)
    for of_genes in RIDGE:
        smooth = mean + ridge(vectors.genes, (known - mean).T, of_genes, intercept=False).predict(vectors.genes).T
        for penalty in RIDGE:
            predicted = ridge(vectors.perturbed[split.train], smooth, penalty).predict(vectors.perturbed[rows])
            tried.append(_judged(predicted, data, split))
    return best(tried)


def nearest(data: Perturbations, split: Split, vectors: GeneVectors) -> Doubles:
    """The change of the training perturbation whose gene's vector is nearest by cosine; where a vector is zero, the
    mean change."""
    norm = np.linalg.norm(vectors.perturbed, axis=1, keepdims=True)
    unit = vectors.perturbed / np.where(norm > 0, norm, 1.0)
    alike = unit[split.test] @ unit[split.train].T  # [P_test, P_train]
    found = filled(data, split)[alike.argmax(1)]
    return np.where(norm[split.test] > 0, found, mean_change(data, split))


def filled(data: Perturbations, split: Split) -> Doubles:
    """Changes ``[P_train, G]``; the mean change where they were not measured."""
    change: Doubles = data.change[split.train].astype(np.float64)
    return np.where(np.isfinite(change), change, mean_change(data, split))


def _judged(predicted: Doubles, data: Perturbations, split: Split) -> tuple[float, Doubles]:
    """The error at validation, and what is predicted of the test part, from a prediction of both."""
    count = len(split.validation)
    return squared_error(predicted[:count], data.change[split.validation]), predicted[count:]
