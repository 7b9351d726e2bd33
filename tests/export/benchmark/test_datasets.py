"""Reading a benchmark folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ugrn.export.benchmark.datasets import DataSet, read_datasets
from ugrn.runtime.errors import InputError


def test_edges_and_candidates_are_those_of_the_tables(bench_folder: Path, bench_data: dict[str, DataSet]) -> None:
    table = pl.read_parquet(bench_folder / "edges.parquet")
    for data in bench_data.values():
        for (name, panel), network in data.networks.items():
            of_network = (pl.col("dataset") == data.name) & (pl.col("network") == name) & (pl.col("panel") == panel)
            found = {(data.genes[s], data.genes[t]) for s, t in network.edges}
            assert found == set(table.filter(of_network).select("source", "target").rows())
            assert set(network.edges[:, 0]) <= set(network.sources) <= set(network.genes)
            assert (data.rows[network.sources] >= 0).all()
    assert bench_data["learn"].expression is None
    expression = bench_data["test"].expression
    assert expression is not None
    assert expression.shape == (40, len(bench_data["test"].genes))
    assert np.isfinite(expression).all()


def test_sources_of_edges_are_candidates(bench_folder: Path, tmp_path: Path) -> None:
    genes = pl.read_parquet(bench_folder / "genes.parquet")
    pl.read_parquet(bench_folder / "edges.parquet").write_parquet(tmp_path / "edges.parquet")
    genes.with_columns(is_tf=pl.col("is_tf") & (pl.col("gene") != "GENE3")).write_parquet(tmp_path / "genes.parquet")
    data = read_datasets(tmp_path)["learn"]
    for network in data.networks.values():
        assert (data.rows[network.edges[:, 0]] >= 0).all()
        assert set(network.edges[:, 0]) <= set(network.sources)


def test_broken_folders_are_named(bench_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"edges\.parquet"):
        read_datasets(tmp_path)
    genes = pl.read_parquet(bench_folder / "genes.parquet")
    pl.read_parquet(bench_folder / "edges.parquet").write_parquet(tmp_path / "edges.parquet")
    genes.filter(pl.col("gene") != "GENE4").write_parquet(tmp_path / "genes.parquet")
    with pytest.raises(InputError, match="GENE4"):
        read_datasets(tmp_path)
    (tmp_path / "expression").mkdir()
    genes.write_parquet(tmp_path / "genes.parquet")
    (tmp_path / "expression" / "test.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cells x genes"):
        read_datasets(tmp_path)
