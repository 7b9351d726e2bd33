"""Gene embeddings from sets of genes, such as the terms of the Gene Ontology (GMT files).

What a curator wrote of a gene is the set of terms it was given. Genes are points in the space of the terms, weighted
by how rare a term is (Spaerck Jones 1972), reduced to their leading principal components.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.networks import GeneSet, read_gmt
from ugrn.runtime.genes.names import GeneNames

FEWEST = 5
MOST = 0.05  # of the genes; a larger set says little


def gene_set_embeddings(path: Path, names: GeneNames, rank: int = 128, seed: int = 0) -> Array:
    """Embeddings ``[V, at most rank]``, centred over the genes that are in a set; zero for those in none.

    Args:
        path: GMT file: one set per line, tab between its name, a description and its genes.
        names: the vocabulary.
        rank: number of components; fewer where there are fewer sets.
        seed: of the randomised decomposition.

    Raises:
        InputError: the file is not GMT, or has too few usable sets.
    """
    sets = _ids(read_gmt(path), names)
    usable = [ids for ids in sets if FEWEST <= len(ids) <= max(MOST * len(names), FEWEST)]
    if len(usable) < 2:
        message = (
            f"{path}: {len(usable)} of {len(sets)} sets have at least {FEWEST} known genes and at most "
            f"{MOST:.0%} of them; expected at least 2"
        )
        raise InputError(message)
    sizes = np.array([len(ids) for ids in usable])
    rarity = np.repeat(np.log(len(names) / sizes), sizes)
    places = (np.concatenate(usable), np.repeat(np.arange(len(usable)), sizes))
    weights = sp.csr_matrix((rarity, places), shape=(len(names), len(usable)))
    length = np.sqrt(np.asarray(weights.multiply(weights).sum(1)).ravel())
    listed = length > 0
    weights = sp.diags(1.0 / np.maximum(length, 1e-12)) @ weights
    vectors, singular, _ = randomized_svd(weights, min(rank, len(usable) - 1), random_state=seed)
    out = vectors * singular
    out[listed] -= out[listed].mean(0)
    return np.asarray(np.where(listed[:, None], out, 0.0), np.float32)


def _ids(sets: Sequence[GeneSet], names: GeneNames) -> list[Ids]:
    """Ids of the known genes of every set."""
    ids = names.ids([gene for each in sets for gene in each.genes]).astype(np.int64)
    parts = np.split(ids, np.cumsum([len(each.genes) for each in sets])[:-1])
    return [np.unique(part[part >= 0]) for part in parts]
