"""Matrices of cells x genes, read in blocks of rows that stay sparse, with h5py and numpy alone.

A matrix is stored dense, by rows (CSR) or by columns (CSC). Memory is bounded by a block, but for a matrix stored by
columns, which is turned as a whole; it stays sparse as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from ..arrays import Array, Codes, Ids

VALUES_AT_ONCE = 1 << 21
MOST_CHUNKED = 16  # blocks that a chunk of a dense file may be as large as, and still be read as a whole


class Matrix(Protocol):
    """A matrix ``[N, G]`` that is read block by block."""

    @property
    def shape(self) -> tuple[int, int]:
        """N and G."""

    def blocks(self, at_once: int = VALUES_AT_ONCE) -> Iterator[Rows]:
        """All rows in their order, in blocks of so many stored values, or of one row where it has more."""


@dataclass(frozen=True)
class Rows:
    """R successive rows of a matrix of G columns, with n values; a matrix itself.

    Attributes:
        data: ``[n]``, row by row.
        indices: ``[n]``, their columns, distinct within a row and, as they are read, rising.
        indptr: ``[R + 1]``: row r has the values ``indptr[r]`` to ``indptr[r + 1]``.
        columns: G.
        start: number of the first row in the whole matrix.
    """

    data: Array
    indices: Codes
    indptr: Ids
    columns: int
    start: int = 0

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """R and G."""
        return len(self), self.columns

    @property
    def row(self) -> Ids:
        """``[n]``, the row of every value, 0 is the first of the block."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def blocks(self, at_once: int = VALUES_AT_ONCE) -> Iterator[Rows]:
        """The rows themselves, as one block; they are in memory."""
        yield self

    def take(self, place: Ids, columns: int) -> Rows:
        """The rows over other columns.

        Args:
            place: ``[G]``, the new place of every column, -1 to leave it out.
            columns: number of the new ones.
        """
        indices = place[self.indices]
        kept = indices >= 0
        indptr = np.concatenate([[0], np.cumsum(kept)])[self.indptr]
        return replace(
            self, data=self.data[kept], indices=indices[kept].astype(np.int32), indptr=indptr, columns=columns
        )

    def log_normalise(self) -> Rows:
        """ln(1 + 1e4 x / sum) of counts."""
        row = self.row
        totals = np.maximum(np.bincount(row, self.data, len(self)), 1.0)
        return replace(self, data=np.log1p(self.data * (1e4 / totals)[row]).astype(np.float32))

    def write_to(self, out: Array) -> None:
        """Put the values at their places in the whole dense matrix ``[N, G]``."""
        out[self.start + self.row, self.indices] = self.data


@dataclass(frozen=True)
class DenseMatrix:
    """A dense matrix: `stored` ``[N, G]``, an array or a data set of a file."""

    stored: Any

    @property
    def shape(self) -> tuple[int, int]:
        """N and G."""
        rows, columns = self.stored.shape
        return int(rows), int(columns)

    def blocks(self, at_once: int = VALUES_AT_ONCE) -> Iterator[Rows]:
        """See `Matrix`; a block has so many values with its zeros."""
        rows, columns = self.shape
        step = max(at_once // max(columns, 1), 1)
        chunk = (getattr(self.stored, "chunks", None) or (1,))[0]
        if chunk <= MOST_CHUNKED * step:  # else each chunk would be unpacked again and again
            step = max(step // chunk, 1) * chunk
        for start in range(0, rows, step):
            block = np.asarray(self.stored[start : start + step], np.float32)
            row, column = np.nonzero(block)
            indptr = np.searchsorted(row, np.arange(len(block) + 1))
            yield Rows(block[row, column], column.astype(np.int32), indptr, columns, start)


@dataclass(frozen=True)
class CompressedMatrix:
    """A sparse matrix stored by rows.

    Attributes:
        data: ``[n]``, an array or a data set of a file, as are `indices`, the columns ``[n]``.
        indptr: ``[N + 1]``, in memory.
        columns: G.
    """

    data: Any
    indices: Any
    indptr: Ids
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """N and G."""
        return len(self.indptr) - 1, self.columns

    def blocks(self, at_once: int = VALUES_AT_ONCE) -> Iterator[Rows]:
        """See `Matrix`. Values that are stored twice are added up.

        Raises:
            ValueError: a value stands in no column.
        """
        first = 0
        while first < len(self.indptr) - 1:
            last = int(np.searchsorted(self.indptr, self.indptr[first] + at_once, side="right")) - 1
            last = max(last, first + 1)
            start, stop = self.indptr[first], self.indptr[last]
            data = np.asarray(self.data[start:stop], np.float32)
            indices = _within(self.indices[start:stop], self.columns)
            yield _in_order(Rows(data, indices, self.indptr[first : last + 1] - start, self.columns, first))
            first = last


@dataclass(frozen=True)
class ValueRange:
    """The least and the largest value of a matrix, 0 where it has none, and whether all are whole numbers."""

    lowest: np.float32
    highest: np.float32
    whole: bool

    @classmethod
    def of(cls, matrix: Matrix) -> ValueRange:
        """The range of a matrix, which is read once."""
        ends: list[Any] = []
        whole = True
        for rows in matrix.blocks():
            if len(rows.data):
                ends += [rows.data.min(), rows.data.max()]
            if len(rows.data) < len(rows) * rows.columns:
                ends.append(0)
            whole = whole and bool((rows.data == np.round(rows.data)).all())
        values = np.array(ends or [0], np.float32)
        return cls(values.min(), values.max(), whole)


def open_matrix(stored: Any, shape: tuple[int, int]) -> Matrix:
    """A matrix of an open file.

    Args:
        stored: a data set, or a group with ``data``, ``indices`` and ``indptr``.
        shape: of it, where the file does not say.

    Raises:
        ValueError: it is no matrix; as may be other errors of h5py and numpy.
    """
    if isinstance(stored, h5py.Dataset):
        if stored.ndim != 2:
            message = f"{stored.name} has {stored.ndim} dimensions, a matrix has 2"
            raise ValueError(message)
        return DenseMatrix(stored)
    stated = stored.attrs.get("shape", stored.attrs.get("h5sparse_shape"))
    rows, columns = shape if stated is None else map(int, stated)
    by_column = str(stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", "csr"))).startswith("csc")
    data, indices, indptr = stored["data"], stored["indices"], stored["indptr"][:].astype(np.int64)
    ends = columns if by_column else rows
    if len(indptr) != ends + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        message = f"{stored.name}/indptr does not part its values into {ends} {'columns' if by_column else 'rows'}"
        raise ValueError(message)
    if indptr[-1] > min(len(data), len(indices)):
        message = f"{stored.name} has {min(len(data), len(indices))} values, and indptr asks for {indptr[-1]}"
        raise ValueError(message)
    if by_column:
        return _turn(data, indices, indptr, rows)
    return CompressedMatrix(data, indices, indptr, columns)


def stack(blocks: Iterable[Rows], columns: int) -> Rows:
    """All blocks of a matrix as one, sparse."""
    parts = [Rows(np.empty(0, np.float32), np.empty(0, np.int32), np.zeros(1, np.int64), columns), *blocks]
    sizes = np.concatenate([np.diff(part.indptr) for part in parts])
    data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
    return Rows(data, indices, np.concatenate([[0], np.cumsum(sizes)]), columns)


def read_dense(matrix: Matrix) -> Array:
    """The whole matrix ``[N, G]``, dense: for small ones."""
    out = np.zeros(matrix.shape, np.float32)
    for rows in matrix.blocks():
        rows.write_to(out)
    return out


def _turn(data: Any, indices: Any, indptr: Ids, rows: int) -> CompressedMatrix:
    """A matrix that is stored by columns, by rows and in memory; `indices` are rows, `indptr` is of columns."""
    count = int(indptr[-1])
    parts = [slice(at, min(at + VALUES_AT_ONCE, count)) for at in range(0, count, VALUES_AT_ONCE)]
    sizes = np.zeros(rows, np.int64)
    for part in parts:
        sizes += np.bincount(_within(indices[part], rows), minlength=rows)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    free = starts[:-1].copy()  # of every row the place of its next value
    turned = np.empty(starts[-1], np.float32), np.empty(starts[-1], np.int32)
    for part in parts:
        row = indices[part]
        order = np.argsort(row, kind="stable")
        row = row[order]
        place = free[row] + np.arange(len(row)) - np.searchsorted(row, row)
        turned[0][place] = data[part][order]
        turned[1][place] = np.searchsorted(indptr, part.start + order, side="right") - 1
        free += np.bincount(row, minlength=rows)
    return CompressedMatrix(*turned, starts, len(indptr) - 1)


def _within(indices: NDArray[Any], count: int) -> Codes:
    if len(indices) and (indices.min() < 0 or indices.max() >= count):
        message = f"places from {indices.min()} to {indices.max()} in a matrix that has {count}"
        raise ValueError(message)
    return indices.astype(np.int32)


def _in_order(rows: Rows) -> Rows:
    """The same rows, where each has its columns rising and once."""
    place = rows.row * rows.columns + rows.indices
    if (np.diff(place) > 0).all():
        return rows
    distinct, back = np.unique(place, return_inverse=True)
    data = np.bincount(back, rows.data, len(distinct)).astype(np.float32)
    row, column = np.divmod(distinct, rows.columns)
    return replace(
        rows, data=data, indices=column.astype(np.int32), indptr=np.searchsorted(row, np.arange(len(rows) + 1))
    )
