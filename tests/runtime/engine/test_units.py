"""Cells in a model's units, read in small blocks, against dense arrays in double precision."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from anndata.io import write_elem

from ugrn.runtime.engine.units import CONVERSIONS, Cells, convert_cells, mean_profiles
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.annotations import Groups
from ugrn.runtime.files.cells import open_cells, require_expression
from ugrn.runtime.files.matrices import Matrix, Rows, open_matrix

LAYOUTS = {"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_matrix}
COLUMNS = np.array([8, 0, 3, 4, 5, 7])


@dataclass(frozen=True)
class InSmallBlocks:
    """A matrix that is read in blocks of so many values."""

    matrix: Matrix
    at_once: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    def blocks(self, at_once: int = 0) -> Iterator[Rows]:
        return self.matrix.blocks(self.at_once)


def reference(values: np.ndarray, counts: bool, groups: list[str], scale: str) -> dict[str, np.ndarray]:
    values = values.astype(np.float64)
    logs = np.log1p(values * 1e4 / np.maximum(values.sum(1, keepdims=True), 1)) if counts else values
    changed = {
        "ln-counts": np.log1p(values),
        "cp10k": np.expm1(logs),
        "log2-cp10k": np.minimum(logs / np.log(2), 5),
    }.get(scale, logs)[:, COLUMNS]
    if scale == "z-score":
        deviation = changed.std(0)
        varying = deviation > 1e-3
        changed = (changed - changed.mean(0)) / np.where(varying, deviation, 1)
    found = {}
    for name in sorted(set(groups)):
        profile = changed[[group == name for group in groups]].mean(0)
        if scale == "z-score":
            profile = np.where(varying, profile - profile[varying].mean(), 0)
        if scale == "bins":
            shown = profile[profile > 0]
            ranks = [(shown < value).sum() + ((shown == value).sum() + 1) / 2 for value in profile]
            profile = np.where(profile > 0, np.ceil(np.array(ranks) * 50 / max(len(shown), 1)), 0)
        found[name] = profile
    return found


@pytest.mark.parametrize("scale", CONVERSIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("counts", [True, False])
def test_means_and_cells_against_dense_arrays(tmp_path: Path, scale: str, layout: str, counts: bool) -> None:
    random = np.random.default_rng(len(scale))
    values = random.poisson(1.0, (37, 9)).astype(np.float32)
    values[3:5] = 0
    values[:, 4] = 0
    if not counts:
        values = np.log1p(values)
    labels = random.choice(["b", "a", "c"], 37).tolist()
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        write_elem(file, "X", LAYOUTS[layout](values))
        matrix = InSmallBlocks(open_matrix(file["X"], (0, 0)), 20)
        cells = Cells(matrix, counts, [], Groups.of(labels))
        if scale == "ln-counts" and not counts:
            with pytest.raises(InputError, match="other numbers than counts"):
                mean_profiles(cells, COLUMNS, scale)
            return
        found = mean_profiles(cells, COLUMNS, scale)
        expected = reference(values, counts, labels, scale)
        assert list(found) == list(expected) == ["a", "b", "c"]
        for name, profile in expected.items():
            assert found[name].dtype == np.float32
            np.testing.assert_allclose(found[name], profile, rtol=2e-5, atol=2e-6)
        each = convert_cells(cells, COLUMNS, scale)
        own = [f"{row:02d}" for row in range(37)]
        np.testing.assert_allclose(each, list(reference(values, counts, own, scale).values()), rtol=2e-5, atol=2e-6)
        assert each.dtype == np.float32


def test_a_large_file_is_never_dense(tmp_path: Path) -> None:
    cells, genes, per_cell = 200_000, 2_000, 3
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["X/data"] = random.integers(1, 9, cells * per_cell).astype(np.float32)
        file["X/indices"] = (random.integers(0, genes // 3, (cells, 1)) + genes // 3 * np.arange(3)).ravel()
        file["X/indptr"] = np.arange(0, cells * per_cell + 1, per_cell)
        file["var/_index"] = np.arange(genes)
        file["obs/_index"] = np.arange(cells)
        file["obs/kind/codes"] = np.arange(cells, dtype=np.int8) % 5
        file["obs/kind/categories"] = [name.encode() for name in "edcba"]
    tracemalloc.start()
    with open_cells(tmp_path / "x.h5ad") as reader:
        matrix, groups = reader.matrix(), reader.obs.groups("kind", "")
        assert require_expression(matrix, "x", cells, genes)
        found = mean_profiles(Cells(matrix, True, reader.var().index(), groups), np.arange(genes), "z-score")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {name: len(profile) for name, profile in found.items()} == dict.fromkeys("abcde", genes)
    assert peak < 4 * cells * genes / 20  # bytes: a twentieth of the dense matrix
