"""The corpus of expression that a backbone is trained on."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from tests.helpers.expression import SYMBOLS, planted
from ugrn.export.pretrain.corpus import (
    add_description_rows,
    build_corpus,
    find_sources,
    read_expression,
    spectral_embeddings,
)
from ugrn.export.pretrain.sampling import PretrainConfig, Sampler
from ugrn.export.pretrain.vocabulary import read_vocabulary
from ugrn.runtime.errors import InputError


def test_expression_layouts_agree(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(2.0, (30, 40)).astype(np.float32)
    sparse = sp.csr_matrix(counts)
    with h5py.File(tmp_path / "csr.h5", "w") as file:
        file["data"], file["indices"], file["indptr"] = sparse.data, sparse.indices, sparse.indptr
        file["genes"] = [gene.encode() for gene in SYMBOLS]
        file.attrs["kind"] = "counts"
    data = anndata.AnnData(sparse)
    data.var_names = [f"ENSG{i}" for i in range(40)]
    data.var["feature_name"] = SYMBOLS
    data.write_h5ad(tmp_path / "cells.h5ad")
    expected = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    for name in ("csr.h5", "cells.h5ad"):
        found = read_expression(tmp_path / name)
        assert (found.genes, found.species) == (SYMBOLS, "human")
        np.testing.assert_allclose(found.values, expected, rtol=1e-5)


def test_unreadable_expression_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"x\.h5"):
        read_expression(tmp_path / "x.h5")
    with pytest.raises(InputError, match="no expression file"):
        find_sources([tmp_path / "absent"])


def test_corpus_is_standardised_by_its_training_rows(genes: Path, expression: Path) -> None:
    corpus = build_corpus([expression], read_vocabulary(genes))
    assert corpus.values.shape == (300, 40)
    assert 0.05 < corpus.held_out.mean() < 0.15
    for index in range(2):
        rows = (corpus.source == index) & ~corpus.held_out
        with h5py.File(sorted(expression.glob("*.h5"))[index]) as file:
            order = [read_vocabulary(genes).symbols.index(name) for name in file["genes"].asstr()[:]]
            raw = file["values"][:].astype(np.float64)
        train = ~corpus.held_out[corpus.source == index]
        expected = (raw - raw[train].mean(0)) / raw[train].std(0)
        expected -= expected.mean(1, keepdims=True)
        np.testing.assert_allclose(corpus.values[rows][:, order], expected[train].clip(-4, 6), atol=5e-3)
    assert [card.weight for card in corpus.cards] == [2.0, 2.0]


def test_genes_that_hardly_vary_are_not_measured(genes: Path, tmp_path: Path) -> None:
    values = planted(100, 0)
    values[:, 7] = 1.0
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["values"], file["genes"] = values, [gene.encode() for gene in SYMBOLS]
    vocabulary = read_vocabulary(genes)
    corpus = build_corpus([tmp_path / "c.h5"], vocabulary)
    row = vocabulary.symbols.index("GENE7")
    assert row not in corpus.measured[0]
    assert np.isnan(corpus.values[:, row]).all()


def test_spectral_embeddings_find_the_planted_pairs(genes: Path, expression: Path) -> None:
    vocabulary = read_vocabulary(genes)
    embeddings = spectral_embeddings(build_corpus([expression], vocabulary), 3)
    near = embeddings @ embeddings.T
    at = [vocabulary.symbols.index(gene) for gene in ("GENE0", "GENE6", "GENE3")]
    assert near[at[0], at[1]] > 0.5 * near[at[0], at[0]]
    assert near[at[0], at[2]] < -0.5 * near[at[0], at[0]]


def test_description_rows_move_like_described_genes_together(genes: Path, expression: Path) -> None:
    corpus = build_corpus([expression], read_vocabulary(genes))
    embeddings = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32) + 3
    joined = add_description_rows(corpus, embeddings, 0.75, "made up", rows=20_000)
    rows = joined.values[len(corpus.values) :].astype(np.float64)
    centred = embeddings - embeddings.mean(0)
    lengths = np.linalg.norm(centred, axis=1)
    expected = centred @ centred.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(rows.T @ rows / len(rows), expected, atol=0.04)
    assert not joined.held_out[len(corpus.values) :].any()
    np.testing.assert_array_equal(joined.values[: len(corpus.values)], corpus.values)
    sampler = Sampler(joined, PretrainConfig(tokens=40_000), held_out=False)
    at = np.searchsorted(sampler.share, np.random.default_rng(1).random(20_000), side="right")
    drawn = joined.source[sampler.rows[at]] == len(corpus.cards)
    assert abs(drawn.mean() - 0.75) < 0.02


def test_batches_hide_what_they_ask_and_depend_on_seed_and_step_alone(genes: Path, expression: Path) -> None:
    corpus = build_corpus([expression], read_vocabulary(genes))
    config = PretrainConfig(tokens=60, panel=40, seed=3)
    one, two = (Sampler(corpus, config, held_out=False).draw(7, 2, visible=5) for _ in range(2))
    assert len(one.genes) == 60 // (1 + 5 + 2)
    assert torch.equal(one.genes, two.genes)
    assert torch.equal(one.wanted, two.wanted)
    shown = (one.panel[None, :, None] == one.genes[:, None, :]).any(2)
    assert not (shown & one.counts).any()
    assert shown.any()
    assert not torch.equal(Sampler(corpus, config, held_out=False).draw(8, 2, visible=5).genes, one.genes)
