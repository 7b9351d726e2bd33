"""Gene embeddings from sets, against a dense decomposition written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ugrn.export.pretrain.vocabulary import gene_set_embeddings
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames

NAMES = GeneNames([f"G{row}" for row in range(200)], {"OLD7": "G7"})


def write(path: Path, sets: list[list[str]]) -> Path:
    path.write_text("".join("\t".join([f"set{n}", "made up", *genes]) + "\n" for n, genes in enumerate(sets)))
    return path


def test_cosines_equal_those_of_the_dense_matrix(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    members = [rng.choice(150, rng.integers(5, 11), replace=False) for _ in range(40)]
    sets = [[f"G{gene}" for gene in each] for each in members]
    sets[0] = [gene if gene != "G7" else "old7" for gene in sets[0]] + ["NOTKNOWN"]
    small, large = ["G1", "G2"], [f"G{gene}" for gene in range(60)]
    found = gene_set_embeddings(write(tmp_path / "s.gmt", [*sets, small, large]), NAMES, rank=39).astype(float)
    dense = np.zeros((200, 40))
    for column, each in enumerate(members):
        dense[each, column] = np.log(200 / len(each))
    lengths = np.linalg.norm(dense, axis=1)
    listed = lengths > 0
    dense[listed] /= lengths[listed, None]
    vectors, singular, _ = np.linalg.svd(dense, full_matrices=False)
    reduced = vectors[:, :39] * singular[:39]
    reduced[listed] -= reduced[listed].mean(0)
    np.testing.assert_allclose(found @ found.T, reduced @ reduced.T * np.outer(listed, listed), atol=2e-3)
    assert (found[~listed] == 0).all()
    np.testing.assert_allclose(found[listed].mean(0), 0, atol=1e-6)


def test_what_is_no_gmt_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        gene_set_embeddings(tmp_path / "none.gmt", NAMES)
    with pytest.raises(InputError, match="0 of 1 sets"):
        gene_set_embeddings(write(tmp_path / "c.gmt", [["X", "Y", "Z"]]), NAMES)
