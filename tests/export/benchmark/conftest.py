"""A small benchmark folder over the genes of the random backbone: two data sets, one of them with expression."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from ugrn.export.benchmark.datasets import DataSet, read_datasets

SOURCES, GENES = 20, 56


@pytest.fixture(scope="session")
def bench_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "expression").mkdir()
    rng = np.random.default_rng(3)
    edges, genes = [], []
    for name, strange in (("learn", []), ("test", ["Gene58", "NOTKNOWN"])):
        symbols = [f"GENE{row}" for row in range(GENES)] + strange
        for network, share in (("string", 0.4), ("specific", 0.3)):
            for panel in (500, 1000):
                among = symbols[: 50 if panel == 500 else None]
                pairs = [(s, t) for s in among[:SOURCES] for t in among if s != t and rng.random() < share]
                edges += [(name, network, panel, *pair) for pair in pairs]
                genes += [(name, network, panel, gene, row < SOURCES) for row, gene in enumerate(among)]
        if name == "test":
            with h5py.File(folder / "expression" / "test.h5", "w") as file:
                file["values"] = np.log1p(rng.poisson(2.0, (40, len(symbols)))).astype(np.float32)
                file["genes"] = symbols
    key = ["dataset", "network", "panel"]
    pl.DataFrame(edges, schema=[*key, "source", "target"], orient="row").write_parquet(folder / "edges.parquet")
    pl.DataFrame(genes, schema=[*key, "gene", "is_tf"], orient="row").write_parquet(folder / "genes.parquet")
    return folder


@pytest.fixture(scope="session")
def bench_data(bench_folder: Path) -> dict[str, DataSet]:
    return read_datasets(bench_folder)
