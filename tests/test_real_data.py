"""The bundled artifact on real networks it was not trained on (needs the real data)."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.metrics import average_precision_score

from ugrn.export.pretrain.vocabulary import read_vocabulary
from ugrn.export.training.negatives import draw_negatives
from ugrn.runtime import load
from ugrn.runtime.engine.states import read_states


@pytest.mark.parametrize(("network", "least"), [("string", 0.63), ("nonspecific", 0.55)])
def test_the_bundled_artifact_carries_pairwise_knowledge(data: Path, network: str, least: float) -> None:
    scorer = load()
    edges = pl.read_parquet(data / "beeline" / "edges.parquet").filter(
        (pl.col("dataset") == "hHEP") & (pl.col("network") == network) & (pl.col("panel") == 500)
    )
    resolved = scorer.resolve(edges.select("source", "target"))
    assert resolved.accepted > 0.95 * len(edges)
    rows = resolved.sorted_rows
    pairs = np.stack(resolved.gene_ids(rows), axis=1).astype(np.int64)
    negatives = draw_negatives(pairs, np.unique(pairs), "degree-aware", np.random.default_rng(0))
    symbols = np.array(scorer.artifact.names.symbols)
    both = symbols[np.concatenate([pairs, negatives])]
    scores = scorer.score(pl.DataFrame({"source": both[:, 0], "target": both[:, 1]}))["probability"]
    labels = np.concatenate([np.ones(len(pairs)), np.zeros(len(negatives))])
    assert average_precision_score(labels, scores) > least
    shuffled = np.random.default_rng(1).permutation(scores.to_numpy())
    assert average_precision_score(labels, shuffled) < 0.55


def test_mouse_symbols_find_their_human_genes(data: Path) -> None:
    names = load().artifact.names
    assert [names.symbols[row] for row in names.ids(["Nanog", "Pou5f1", "Zfp423", "oct4"])] == [
        "NANOG",
        "POU5F1",
        "ZNF423",
        "POU5F1",
    ]


def test_the_vocabulary_is_the_one_the_tables_give(data: Path) -> None:
    assert load().artifact.names.symbols == read_vocabulary(data / "genes").symbols


def test_cell_types_have_contexts_and_networks_of_their_own(data: Path, tmp_path: Path) -> None:
    """Sorted blood cells: known markers in the contexts; T cells agree with each other more than with monocytes."""
    with h5py.File(data / "corpus" / "fasttopics_pbmc_facs.h5") as file:
        names, genes = file["cell_names"].asstr()[:], file["genes"].asstr()[:]
        parts = tuple(file[part][:] for part in ("data", "indices", "indptr"))
    types = pd.Categorical([name.split("-", 2)[2] for name in names])
    cells = anndata.AnnData(
        sp.csr_matrix(parts, (len(names), len(genes))), pd.DataFrame({"type": types}, names), pd.DataFrame(index=genes)
    )
    cells.write_h5ad(tmp_path / "cells.h5ad")
    scorer = load()
    states = {state.name: state for state in read_states(tmp_path / "cells.h5ad", scorer.artifact, "type")}
    assert {"CD79A", "MS4A1"} <= set(states["b_cells"].genes)
    assert {"S100A8", "LYZ"} <= set(states["cd14_monocytes"].genes)
    assert "NKG7" in states["cd56_nk"].genes
    edges = pl.read_parquet(data / "beeline" / "edges.parquet").filter(pl.col("dataset") == "hHEP")
    sources, targets = (edges[column].unique().sort().to_list()[:60] for column in ("source", "target"))
    pairs = [(source, target) for source in sources for target in targets if source != target]
    rank = {
        name: scorer.in_state(states[name]).score(pairs)["probability"].rank().to_numpy()
        for name in ("memory_t", "cytotoxic_t", "cd14_monocytes")
    }
    alike = np.corrcoef(rank["memory_t"], rank["cytotoxic_t"])[0, 1]
    unlike = np.corrcoef(rank["memory_t"], rank["cd14_monocytes"])[0, 1]
    assert alike > unlike + 0.2
