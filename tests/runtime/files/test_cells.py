"""Gene lists from files of cells, written by anndata."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from ugrn.runtime import GeneListError, load
from ugrn.runtime.genes.lists import read_genes
from ugrn.runtime.genes.names import GeneNames

SYMBOLS = ["GENE1", "GENE2", "GENE3", "GENE4", "OTHER"]
IDS = [f"ENSG{row:011d}" for row in range(5)]
NAMES = GeneNames([f"GENE{row}" for row in range(60)])


def cells(path: Path, index: list[str], **columns: object) -> Path:
    var = pd.DataFrame(columns, index=index)
    anndata.AnnData(np.ones((3, len(index)), np.float32), var=var).write_h5ad(path)
    return path


@pytest.mark.parametrize("name", ["feature_name", "gene_symbols", "Gene_Name", "symbol"])
@pytest.mark.parametrize("kind", ["object", "category"])
def test_the_column_that_is_known_best_is_taken(tmp_path: Path, name: str, kind: str) -> None:
    path = cells(tmp_path / "a.h5ad", IDS, **{name: pd.Series(SYMBOLS, IDS, dtype=kind), "n": range(5)})
    genes = read_genes("targets", path, NAMES)
    assert genes.column == f"var[{name!r}]"
    assert genes.names == SYMBOLS
    assert genes.used()[0] == SYMBOLS[:4]
    assert genes.counts() == {"unknown gene": 1}
    assert genes.rejects(NAMES).select("line", "name").rows() == [(5, "OTHER")]


def test_var_names_are_taken_where_they_are_known(tmp_path: Path) -> None:
    path = cells(tmp_path / "a.h5ad", SYMBOLS, gene_name=IDS, symbol=["GENE1", "x", "y", "z", "w"])
    genes = read_genes("sources", path, NAMES)
    assert (genes.column, genes.names) == ("var_names", SYMBOLS)


def test_missing_symbols_are_rejected_as_empty(tmp_path: Path) -> None:
    for dtype in ("category", "string"):
        column = pd.Series(["GENE1", None, "GENE3", None, "GENE1"], IDS, dtype=dtype)
        with anndata.settings.override(allow_write_nullable_strings=True):
            path = cells(tmp_path / "a.h5ad", IDS, feature_name=column)
        genes = read_genes("sources", path, NAMES)
        assert genes.counts() == {"empty name": 2, "duplicate": 1}


def test_a_network_among_the_genes_of_cells(artifact: Path, tmp_path: Path) -> None:
    path = cells(tmp_path / "a.h5ad", IDS, feature_name=SYMBOLS)
    summary = load(artifact).network_file(["GENE7"], path, tmp_path / "n.csv")
    assert summary.columns == {"targets": "var['feature_name']"}
    assert (summary.targets, summary.rejected) == (4, {"targets": {"unknown gene": 1}})
    assert json.loads((tmp_path / "n.csv.json").read_text())["columns"] == summary.columns
    assert len((tmp_path / "n.csv").read_text().splitlines()) == 5


def test_nothing_usable_is_an_error_that_says_where_it_looked(artifact: Path, tmp_path: Path) -> None:
    scorer = load(artifact)
    unknown = cells(tmp_path / "unknown.h5ad", IDS)
    with pytest.raises(GeneListError, match=r"5 of 5 targets \(from var_names\) cannot be used.*ENSG00000000000"):
        scorer.network(["GENE1"], unknown)
    (tmp_path / "text.h5ad").write_text("GENE1\n")
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["X"] = [1.0]
    for name in ("text", "other"):
        with pytest.raises(GeneListError, match="not a readable .h5ad file"):
            scorer.network(tmp_path / f"{name}.h5ad")
    with pytest.raises(GeneListError, match="no genes found"):
        scorer.network(cells(tmp_path / "empty.h5ad", []))
    with pytest.raises(GeneListError, match="no such file"):
        scorer.network(tmp_path / "absent.h5ad")
