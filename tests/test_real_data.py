"""The bundled artifact on real networks it was not trained on (needs the real data)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from ugrn.export.training.negatives import draw_negatives
from ugrn.export.training.vocabulary import read_vocabulary
from ugrn.runtime import load


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
