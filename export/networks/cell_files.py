"""Cells of an ``.h5ad`` file, or of one modality of an ``.h5mu`` file, in memory: names and sparse values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.annotations import UnreadableCells
from ugrn.runtime.files.cells import open_cells, require_expression
from ugrn.runtime.files.matrices import Rows, stack
from ugrn.runtime.genes.names import GeneNames


@dataclass(frozen=True)
class CellFile:
    """N cells and F features (genes or peaks).

    Attributes:
        path: of the file.
        where: the file, and its modality, for messages.
        cells: N distinct names.
        features: F names.
        values: CSR float32 ``[N, F]``; finite and not below zero.
        counts: True where all of them are whole numbers.
        columns: of the features' table those that were asked for, F texts each, by their name in lower case.
    """

    path: Path
    where: str
    cells: list[str]
    features: list[str]
    values: Any
    counts: bool
    columns: Mapping[str, list[str]]

    def __len__(self) -> int:
        return len(self.cells)

    def block(self, start: int, stop: int) -> Array:
        """Dense values of some cells, ``[stop - start, F]``."""
        return np.asarray(self.values[start:stop].toarray(), np.float32)

    def lognorm(self) -> Any:
        """CSR float32 ``[N, F]``: ln(1 + 1e4 x / sum) of counts; other values are taken to be so already."""
        if not self.counts:
            return self.values
        values = self.values
        return _csr(Rows(values.data, values.indices, values.indptr, values.shape[1]).log_normalise())


def read_cells(path: Path, names: GeneNames | None = None, modality: str = "", columns: Sequence[str] = ()) -> CellFile:
    """Read cells.

    Args:
        path: ``.h5ad``, or ``.h5mu`` with a modality.
        names: a vocabulary, where the features are genes: they are named by ``var_names`` or by a symbol column,
            whichever has more that are known; None takes ``var_names``.
        modality: of an ``.h5mu`` file, e.g. ``rna``.
        columns: of the features' table, in lower case, that are wanted where it has them.

    Raises:
        InputError: the file cannot be read, cells repeat a name, or values are no expression.
    """
    try:
        with open_cells(path, modality) as file:
            where, cells, table = file.where, file.obs.index(), file.var()
            features = table.index() if names is None else file.genes(names.ids)[1]
            found = {name.lower(): table.strings(name) for name in table.columns if name.lower() in columns}
            matrix = file.matrix()
            values = stack(matrix.blocks(), matrix.shape[1])
    except UnreadableCells as error:
        message = f"{error.where}: not readable as cells ({error.reason}); expected {'.h5mu' if modality else '.h5ad'}"
        raise InputError(message) from error
    counts = require_expression(values, where, len(cells), len(features), "features")
    if len(set(cells)) < len(cells):
        again = next(name for name, times in Counter(cells).items() if times > 1)
        message = (
            f"{where}: {len(cells) - len(set(cells))} names of cells are there twice, e.g. {again}; make them unique"
        )
        raise InputError(message)
    return CellFile(path, where, cells, features, _csr(values), counts, found)


def _csr(rows: Rows) -> Any:
    return sp.csr_array((rows.data, rows.indices, rows.indptr), shape=rows.shape)


def first_columns(ids: NDArray[np.integer[Any]], genes: int) -> Ids:
    """``[genes]``: the first column that is of each gene of a vocabulary, -1 for none.

    Args:
        ids: the gene of every column, -1 for none.
        genes: size of the vocabulary.
    """
    distinct, first = np.unique(ids, return_index=True)
    out = np.full(genes, -1, np.int64)
    out[distinct[distinct >= 0]] = first[distinct >= 0]
    return out
