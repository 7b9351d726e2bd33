"""Matrices in blocks of rows, against dense arrays."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from anndata.io import write_elem

from ugrn.runtime.errors import InputError
from ugrn.runtime.files import matrices
from ugrn.runtime.files.cells import require_expression
from ugrn.runtime.files.matrices import DenseMatrix, Matrix, ValueRange, open_matrix, read_dense, stack

LAYOUTS = {"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_matrix}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "x.h5ad", "w") as opened:
        yield opened


def expression(seed: int, shape: tuple[int, int] = (23, 11)) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.poisson(0.7, shape) * random.integers(1, 40, shape)
    values[5:9] = 0
    values[:, 3] = 0
    return values.astype(np.float32)


def compressed(group: h5py.Group, data: Any, indices: Any, indptr: Any, kind: str = "csr_matrix") -> h5py.Group:
    group["data"], group["indices"], group["indptr"] = np.array(data), np.array(indices), np.array(indptr)
    group.attrs["encoding-type"] = kind
    return group


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("at_once", [1, 7, 40, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint16])
def test_blocks_are_the_rows_of_the_dense_matrix(
    file: h5py.File, monkeypatch: pytest.MonkeyPatch, layout: str, at_once: int, dtype: type
) -> None:
    monkeypatch.setattr(matrices, "VALUES_AT_ONCE", at_once)  # of a matrix that is turned
    values = expression(at_once)
    write_elem(file, "X", LAYOUTS[layout](values.astype(dtype)))
    matrix = open_matrix(file["X"], (0, 0))
    assert matrix.shape == values.shape
    found, next_row = np.full(values.shape, -1.0), 0
    for rows in matrix.blocks(at_once):
        assert (rows.start, rows.data.dtype, rows.columns) == (next_row, np.float32, 11)
        assert len(rows) == 1 or len(rows.data) <= at_once
        next_row += len(rows)
        for row in range(len(rows)):
            part = slice(rows.indptr[row], rows.indptr[row + 1])
            assert (np.diff(rows.indices[part]) > 0).all()
            assert (rows.row[part] == row).all()
            found[rows.start + row] = 0
            found[rows.start + row, rows.indices[part]] = rows.data[part]
    assert np.array_equal(found, values)
    assert np.array_equal(read_dense(matrix), values)
    assert np.array_equal(read_dense(stack(matrix.blocks(at_once), 11)), values)


@pytest.mark.parametrize(
    ("chunk", "at_once", "lengths"),
    [(4, 50, [4] * 5 + [3]), (3, 70, [6, 6, 6, 5]), (23, 22, [23]), (23, 11, [1] * 23)],
)
def test_chunks_are_read_as_a_whole_where_they_are_small(
    file: h5py.File, chunk: int, at_once: int, lengths: list[int]
) -> None:
    matrix = DenseMatrix(file.create_dataset("X", data=expression(0), chunks=(chunk, 11)))
    assert [len(rows) for rows in matrix.blocks(at_once)] == lengths
    assert np.array_equal(read_dense(matrix), expression(0))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_over_other_columns_and_normalised(file: h5py.File, layout: str) -> None:
    values = expression(3)
    write_elem(file, "X", LAYOUTS[layout](values))
    place = np.array([2, -1, 0, -1, -1, 1, -1, -1, -1, -1, 3])
    out, logs = np.zeros((23, 4), np.float32), np.zeros_like(values)
    for rows in open_matrix(file["X"], (0, 0)).blocks(9):
        rows.take(place, 4).write_to(out)
        rows.log_normalise().write_to(logs)
    assert np.array_equal(out, values[:, [2, 5, 0, 10]])
    expected = np.log1p(values * (1e4 / np.maximum(values.sum(1, keepdims=True), 1)))
    np.testing.assert_allclose(logs, expected, rtol=1e-6)


def test_columns_in_any_order_and_values_stored_twice(file: h5py.File) -> None:
    expected = [[0, 0, 3], [5, 4, 0], [0, 0, 0]]
    by_row = compressed(file.create_group("csr"), [1, 2, 4, 5], [2, 2, 1, 0], [0, 2, 4, 4])
    by_column = compressed(file.create_group("csc"), [5, 4, 2, 1], [1, 1, 0, 0], [0, 1, 2, 4], "csc_matrix")
    for stored in (by_row, by_column):
        assert read_dense(open_matrix(stored, (3, 3))).tolist() == expected


def test_the_oldest_sparse_layout_and_a_shape_that_is_not_stated(file: h5py.File) -> None:
    group = compressed(file.create_group("X"), [7.0], [1], [0, 0, 1])
    assert open_matrix(group, (2, 5)).shape == (2, 5)
    del group.attrs["encoding-type"]
    group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csc", (3, 2)
    assert read_dense(open_matrix(group, (0, 0))).tolist() == [[0, 0], [0, 7], [0, 0]]


@pytest.mark.parametrize(
    ("data", "indices", "indptr"),
    [
        ([1, 2], [0, 3], [0, 1, 2, 2]),
        ([1, 2], [0, -1], [0, 1, 2, 2]),
        ([1, 2], [0, 1], [0, 1, 2]),
        ([1, 2], [0, 1], [0, 2, 1, 2]),
        ([1, 2], [0, 1], [1, 1, 2, 2]),
        ([1, 2], [0, 1], [0, 1, 2, 3]),
        ([1, 2], [0], [0, 1, 2, 2]),
    ],
)
@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix"])
def test_damaged_matrices_are_errors(file: h5py.File, data: Any, indices: Any, indptr: Any, kind: str) -> None:
    stored = compressed(file.create_group("X"), data, indices, indptr, kind)
    with pytest.raises(ValueError, match="has|part"):
        read_dense(open_matrix(stored, (3, 3)))
    file["flat"] = [1.0, 2.0]
    with pytest.raises(ValueError, match="1 dimensions"):
        open_matrix(file["flat"], (2, 1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_range_of_the_values(file: h5py.File, layout: str) -> None:
    values = expression(1)
    faults = {"a": values, "b": values / 2, "c": values - 1, "d": values + 1, "e": np.where(values > 3, np.nan, values)}
    faults["f"] = np.where(values > 3, np.inf, values)
    for name, each in faults.items():
        write_elem(file, name, LAYOUTS[layout](each))
        matrix = open_matrix(file[name], (0, 0))
        found = ValueRange.of(matrix)
        np.testing.assert_array_equal((found.lowest, found.highest), (each.min(), each.max()))
        assert found.whole == bool((each == np.round(each)).all())
        if name in "abd":
            assert require_expression(matrix, "x", 23, 11) == found.whole
            with pytest.raises(InputError, match=r"x: X is \(23, 11\).*expected 23 cells x 12 genes"):
                require_expression(matrix, "x", 23, 12)
        else:
            with pytest.raises(InputError, match="finite and not below zero"):
                require_expression(matrix, "x", 23, 11)
    assert ValueRange.of(DenseMatrix(np.zeros((0, 4), np.float32))) == ValueRange(np.float32(0), np.float32(0), True)


@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_a_large_sparse_matrix_is_never_dense(file: h5py.File, layout: str) -> None:
    cells, genes, values = 200_000, 2_000, 400_000
    random = np.random.default_rng(0)
    stored = sp.coo_matrix(
        (np.ones(values, np.float32), (random.integers(0, cells, values), random.integers(0, genes, values))),
        shape=(cells, genes),
    )
    write_elem(file, "X", LAYOUTS[layout](stored))
    tracemalloc.start()
    matrix: Matrix = open_matrix(file["X"], (0, 0))
    assert sum(float(rows.data.sum()) for rows in matrix.blocks(50_000)) == values
    assert ValueRange.of(matrix).whole
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * cells * genes / 20  # bytes: a twentieth of the dense matrix
