"""Vectors of a data set's genes, from an artifact's gene embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array
from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.errors import InputError

from .data import Perturbations


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

    def rows(genes: Sequence[str]) -> NDArray[np.float32]:
        ids = artifact.names.ids(genes)
        return np.where((ids >= 0)[:, None], table[ids], np.float32(0))

    return GeneVectors(rows(data.perturbed), rows(data.genes))
