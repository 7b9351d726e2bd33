"""Treated and untreated cells of made files."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from bench.grnformer.drug_class import read_cells

from ugrn.runtime.errors import InputError

COUNTS = np.random.default_rng(0).poisson(1.0, (12, 5)).astype(np.float32) + 1
SYMBOLS = [f"GENE{row}" for row in range(5)]


def write(path: Path, values: object, condition: list[str]) -> Path:
    obs = pd.DataFrame(
        {"condition": pd.Categorical(condition), "patient_id": ["p", "q"] * 6}, index=[str(row) for row in range(12)]
    )
    var = pd.DataFrame({"symbol": SYMBOLS}, index=[f"ENSG{row}" for row in range(5)])
    anndata.AnnData(values, obs, var).write_h5ad(path)
    return path


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_every_so_manyeth_cell_is_read(tmp_path: Path, layout: type) -> None:
    path = write(tmp_path / "x.h5ad", layout(COUNTS), ["drug", "none", "none"] * 4)
    found = read_cells("x", path, "drug", "patient_id", (), step=2)
    assert found.genes == SYMBOLS
    assert found.label.tolist() == [True, False, False] * 2
    assert list(found.group) == ["p"] * 6
    np.testing.assert_array_equal(found.totals, COUNTS[::2].sum(1))
    np.testing.assert_allclose(found.expression, np.log1p(COUNTS / COUNTS.sum(1, keepdims=True) * 1e4)[::2], rtol=1e-6)
    assert set(read_cells("x", path, "drug", None, ()).group) == {"one batch"}


def test_other_files_are_one_clear_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", COUNTS, ["drug", "none", "none"] * 4)
    with pytest.raises(InputError, match=r"patient'.*expected an .h5ad file with obs columns condition, patient$"):
        read_cells("x", path, "drug", "patient", ())
    with pytest.raises(InputError, match="0 of 12 cells are other"):
        read_cells("x", path, "other", None, ())
    with pytest.raises(InputError, match="expected counts"):
        read_cells("x", write(path, COUNTS / 2, ["drug", "none", "none"] * 4), "drug", None, ())
    path.write_text("no")
    with pytest.raises(InputError, match="expected an .h5ad file with obs columns condition$"):
        read_cells("x", path, "drug", None, ())
