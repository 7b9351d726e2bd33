"""Files of cells and of networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest

Written = Callable[..., Path]


@pytest.fixture
def write_cells(tmp_path: Path) -> Written:
    """Writes values ``[N, G]`` as an ``.h5ad`` file of the genes GENE0 …"""

    def write(name: str, values: np.ndarray, names: list[str] | None = None) -> Path:
        names = names or [f"GENE{gene}" for gene in range(values.shape[1])]
        obs = pd.DataFrame(index=[str(row) for row in range(len(values))])
        anndata.AnnData(values, obs, pd.DataFrame(index=names)).write_h5ad(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def write_edges(tmp_path: Path) -> Written:
    """Writes edges, numbers of genes, as a pair list."""

    def write(name: str, edges: list[tuple[int, int]]) -> Path:
        rows = [(f"GENE{a}", f"GENE{b}") for a, b in edges]
        pl.DataFrame(rows, schema=["source", "target"], orient="row").write_csv(tmp_path / name)
        return tmp_path / name

    return write
