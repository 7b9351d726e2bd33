"""Baselines of perturbations: what a model of them has to beat.

That simple models of this kind are hard to beat is the finding of Ahlmann-Eltze, Huber and Anders 2025, Nature Methods,
doi:10.1038/s41592-025-02772-6, where the bilinear one is from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.arrays import Doubles

from .data import Perturbations, Split
from .gene_vectors import GeneVectors
from .metrics import mean_change
from .penalties import RIDGE, best, ridge, squared_error


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
    change: NDArray[np.float64] = data.change[split.train].astype(np.float64)
    return np.where(np.isfinite(change), change, mean_change(data, split))


def _judged(predicted: Doubles, data: Perturbations, split: Split) -> tuple[float, Doubles]:
    """The error at validation, and what is predicted of the test part, from a prediction of both."""
    count = len(split.validation)
    return squared_error(predicted[:count], data.change[split.validation]), predicted[count:]
