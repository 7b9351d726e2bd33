"""Cells as anndata writes them, in every layout, and what is wrong with others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from ugrn.export.networks.cell_files import first_columns, read_cells
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames

GENES = [f"GENE{row}" for row in range(12)]
NAMES = GeneNames(GENES)
LAYOUTS: dict[str, Callable[[np.ndarray], object]] = {"dense": lambda x: x, "csr": sp.csr_matrix, "csc": sp.csc_matrix}


def write(path: Path, values: object, cells: list[str]) -> Path:
    var = pd.DataFrame({"feature_name": GENES, "start": range(12)}, index=[f"ENSG{row}" for row in range(12)])
    anndata.AnnData(values, pd.DataFrame(index=cells), var).write_h5ad(path)
    return path


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_layouts(random: np.random.Generator, tmp_path: Path, layout: str) -> None:
    values = random.poisson(1.0, (30, 12)).astype(np.float32)
    values[3] = 0
    cells = [f"c{row}" for row in range(30)]
    path = write(tmp_path / "cells.h5ad", LAYOUTS[layout](values), cells)
    found = read_cells(path, NAMES, columns=("start", "absent"))
    assert (found.cells, found.features, found.counts) == (cells, GENES, True)
    assert found.columns == {"start": [str(row) for row in range(12)]}
    assert np.array_equal(found.block(4, 9), values[4:9])
    expected = np.log1p(values / np.maximum(values.sum(1, keepdims=True), 1) * 1e4)
    np.testing.assert_allclose(found.lognorm().toarray(), expected, rtol=1e-6)
    assert read_cells(path).features == [f"ENSG{row}" for row in range(12)]
    logs = read_cells(write(tmp_path / "logs.h5ad", LAYOUTS[layout](values / 2), cells), NAMES)
    assert not logs.counts
    np.testing.assert_array_equal(logs.lognorm().toarray(), values / 2)


def test_bad_cells_are_one_clear_error(random: np.random.Generator, tmp_path: Path) -> None:
    values = random.poisson(1.0, (4, 12)).astype(np.float32)
    cells = ["a", "b", "c", "d"]
    with pytest.raises(InputError, match="no such file"):
        read_cells(tmp_path / "absent.h5ad")
    (tmp_path / "text.h5ad").write_text("no")
    with pytest.raises(InputError, match="not readable as cells"):
        read_cells(tmp_path / "text.h5ad", NAMES)
    for wrong in (values - 1, np.where(values > 1, np.nan, values)):
        with pytest.raises(InputError, match="finite and not below zero"):
            read_cells(write(tmp_path / "scaled.h5ad", wrong, cells), NAMES)
    path = write(tmp_path / "cells.h5ad", sp.csr_matrix(values), cells)
    with h5py.File(path, "r+") as file:
        file["X/indices"][0] = 99
    with pytest.raises(InputError, match="not readable as cells"):
        read_cells(path, NAMES)
    path = write(tmp_path / "twice.h5ad", values, cells)
    with h5py.File(path, "r+") as file:
        file["obs/_index"][1] = "a"
    with pytest.raises(InputError, match="1 names of cells are there twice, e.g. a"):
        read_cells(path, NAMES)
    with pytest.raises(InputError, match="no modality 'rna': it has no /mod"):
        read_cells(path, NAMES, "rna")


def test_the_first_column_of_a_gene_counts() -> None:
    assert first_columns(np.array([2, -1, 0, 2, 0]), 4).tolist() == [2, -1, 0, -1]
