"""Tables of cells and of genes, against what pandas holds and anndata reads; also of old files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from ugrn.runtime.errors import InputError
from ugrn.runtime.files.annotations import Groups, UnreadableCells
from ugrn.runtime.files.cells import CellReader, open_cells
from ugrn.runtime.files.matrices import read_dense

CELLS = [f"c{row}" for row in range(40)]
EARLIER = np.dtype([("index", "S4"), ("kind", "i1"), ("n", "f4")])


@pytest.fixture
def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    kinds = random.choice(["T cell", "B cell", "NK"], 40)
    frame = pd.DataFrame(
        {
            "plain": kinds,
            "kind": pd.Categorical(kinds, ["NK", "absent", "T cell", "B cell"]),
            "gaps": pd.Categorical(np.where(kinds == "NK", None, kinds)),
            "whole": random.integers(0, 3, 40),
            "half": random.integers(0, 3, 40) / 2,
            "truth": random.random(40) < 0.5,
            "nullable": pd.array(np.where(kinds == "NK", None, random.integers(0, 3, 40)), "Int64"),
            "years": pd.Categorical(random.integers(2020, 2023, 40)),
        },
        index=pd.Index(CELLS, name="cell_id"),
    )
    return frame.astype({"plain": object})


@pytest.fixture
def path(tmp_path: Path, table: pd.DataFrame) -> Path:
    data = anndata.AnnData(np.eye(40, 6, dtype=np.float32), table)
    data.layers["counts"] = 2 * data.X
    data.raw = data
    data = data[:, :4].copy()
    data.uns = {"species": "mouse", "version": 3, "colours": ["red", "green"], "nested": {"a": "b"}}
    data.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.fixture
def cells(path: Path) -> Iterator[CellReader]:
    with open_cells(path) as opened:
        yield opened


def test_every_column_is_read_as_texts_and_as_groups(cells: CellReader, table: pd.DataFrame) -> None:
    assert len(cells.obs) == 40
    assert cells.obs.index() == CELLS
    assert sorted(cells.obs.columns) == sorted([*table.columns, "cell_id"])
    for name in table.columns:
        expected = ["none" if pd.isna(value) else str(value) for value in table[name]]
        assert cells.obs.strings(name, "none") == expected
        groups = cells.obs.groups(name, "none")
        assert groups.names == sorted(set(expected))
        assert [groups.names[code] for code in groups.codes] == expected
    assert "" in cells.obs.strings("gaps")
    assert cells.obs.groups("cell_id", "").names == sorted(CELLS)


def test_matrices_and_their_genes(cells: CellReader) -> None:
    assert cells.matrices == ["X", "layers/counts", "raw/X"]
    whole = np.eye(40, 6, dtype=np.float32)
    for name, expected in (("X", whole[:, :4]), ("layers/counts", 2 * whole[:, :4]), ("raw/X", whole)):
        assert np.array_equal(read_dense(cells.matrix(name)), expected)
        assert cells.var(name).index() == [str(row) for row in range(expected.shape[1])]
        _, genes = cells.genes(lambda names: np.arange(len(names), dtype=np.int32), name)
        assert len(genes) == expected.shape[1]
    with pytest.raises(InputError, match=r"no matrix layers/x; it has: X, layers/counts, raw/X"):
        cells.matrix("layers/x")


def test_notes_are_single_values(cells: CellReader) -> None:
    notes = [cells.note(name) for name in ("species", "version", "colours", "nested", "absent")]
    assert notes == ["mouse", "3", None, None, None]


def test_what_cannot_be_read_says_where(path: Path) -> None:
    with (
        pytest.raises(UnreadableCells, match=r"cells\.h5ad: not a readable .h5ad file .*absent") as caught,
        open_cells(path) as cells,
    ):
        cells.obs.strings("absent")
    assert caught.value.where == str(path)
    with h5py.File(path, "r+") as file:
        stored = {"data": [1.0], "indices": [9], "indptr": [0, 1, *[1] * 39]}
        for name, values in stored.items():
            file[f"layers/sparse/{name}"] = np.array(values)
        damaged = CellReader(file, "y").matrix("layers/sparse")
        with pytest.raises(UnreadableCells, match="y: not a readable .h5ad file .places from 9 to 9"):
            read_dense(damaged)
    with pytest.raises(KeyError, match="'x'"), open_cells(path):  # what others do with it is their own
        _ = {}["x"]


def test_categories_beside_the_columns(path: Path) -> None:
    """As anndata wrote them before 0.8: codes that refer to ``__categories``."""
    with h5py.File(path, "r+") as file:
        del file["obs/kind"]
        file["obs/__categories/kind"] = [b"NK", b"T cell"]
        file["obs/kind"] = np.array([0, 1, -1, 1] * 10, np.int8)
        file["obs/kind"].attrs["categories"] = file["obs/__categories/kind"].ref
        obs = CellReader(file, "x").obs
        assert obs.strings("kind", "none") == ["NK", "T cell", "none", "T cell"] * 10
        assert "__categories" not in obs.columns


def test_tables_of_records(path: Path) -> None:
    """As anndata wrote them before 0.7: the first field is the index, and categories stand in ``uns``."""
    with h5py.File(path, "r+") as file:
        del file["obs"]
        rows = [(name.encode(), row % 3 - 1, row / 2) for row, name in enumerate(CELLS)]
        file["obs"] = np.array(rows, EARLIER)
        file["uns/kind_categories"] = [b"NK", b"T cell"]
        obs = CellReader(file, "x").obs
        assert (len(obs), obs.index(), obs.columns) == (40, CELLS, ["index", "kind", "n"])
        assert obs.strings("kind", "none")[:4] == ["none", "NK", "T cell", "none"]
        assert obs.strings("n")[:3] == ["0.0", "0.5", "1.0"]
        assert obs.groups("kind", "none").names == ["NK", "T cell", "none"]


def test_groups_of_labels() -> None:
    groups = Groups.of(["b", "a", "b"])
    assert (groups.names, groups.codes.tolist()) == (["a", "b"], [1, 0, 1])
    groups = Groups.of(["b", "unused", "a", "b"], np.array([3, 0, -1, 2], np.int32))
    assert (groups.names, groups.codes.tolist()) == (["a", "b"], [1, 1, 1, 0])
    assert (Groups.one(2).names, Groups.one(2).codes.tolist(), Groups.one(0).names) == ([""], [0, 0], [])
