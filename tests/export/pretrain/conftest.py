"""Small made tables of genes and files of expression."""

from __future__ import annotations

from pathlib import Path

import h5py
import polars as pl
import pytest

from tests.helpers.expression import SYMBOLS, planted


@pytest.fixture
def genes(tmp_path: Path) -> Path:
    """A folder with a table of genes in the layout of NCBI."""
    folder = tmp_path / "genes"
    folder.mkdir()
    pl.DataFrame(
        {
            "symbol": [*SYMBOLS, "SNORD1"],
            "type": ["protein-coding"] * 40 + ["snoRNA"],
            "authority_id": ["HGNC:1"] * 41,
            "name": [f"protein {i}" for i in range(41)],
            "synonyms": [[f"SYN{i}"] for i in range(41)],
            "other_names": [["thing"]] * 41,
        }
    ).write_parquet(folder / "human.parquet")
    return folder


@pytest.fixture
def expression(tmp_path: Path) -> Path:
    folder = tmp_path / "averages"
    folder.mkdir()
    for name in ("a", "b"):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["values"] = planted(150, seed=ord(name))
            file["genes"] = [gene.encode() for gene in SYMBOLS]
            file.attrs["licence"] = "MIT"
    return folder
