"""Cells of an ``.h5ad`` file, or of one modality of an ``.h5mu`` file: names and values, sparse where stored so.

Read with h5py, as `ugrn.runtime.engine.states` does; a modality of an ``.h5mu`` file is laid out like an ``.h5ad``
file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.cells import UNREADABLE, read_genes_of_cells, strings
from ugrn.runtime.genes.names import GeneNames


@dataclass(frozen=True)
class CellFile:
    """N cells and F features (genes or peaks).

    Attributes:
        path: of the file.
        where: the file, and its modality, for messages.
        cells: N distinct names.
        features: F names.
        values: ``[N, F]`` float32, CSR or dense; finite and not below zero.
        counts: whether all of them are whole numbers.
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
        """Dense values of some cells."""
        rows = self.values[start:stop]
        return np.asarray(rows.toarray() if sp.issparse(rows) else rows, np.float32)

    def lognorm(self) -> Any:
        """CSR float32 ``[N, F]``: ln(1 + 1e4 x / sum) of counts; other values are taken to be so already."""
        values = sp.csr_array(self.values)
        if self.counts:
            totals = np.maximum(np.asarray(values.sum(1), np.float64), 1.0)
            scale = np.repeat(1e4 / totals, np.diff(values.indptr))
            values.data = np.log1p(values.data * scale).astype(np.float32)
        return values


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
    where = f"{path} ({modality})" if modality else str(path)
    if not path.is_file():
        message = f"{path}: no such file; expected cells ({'.h5mu' if modality else '.h5ad'})"
        raise InputError(message)
    try:
        with h5py.File(path) as file:
            group = _modality(file, path, modality)
            cells = strings(_index(group["obs"]))
            features = strings(_index(group["var"])) if names is None else read_genes_of_cells(group, names.ids)[1]
            found = {key.lower(): strings(group["var"][key]) for key in group["var"] if key.lower() in columns}
            values = _matrix(group["X"])
    except InputError:
        raise
    except UNREADABLE as error:
        message = f"{where}: not readable as cells ({error}); expected {'.h5mu' if modality else '.h5ad'}"
        raise InputError(message) from error
    _check(where, cells, features, values)
    flat = values.data if sp.issparse(values) else values
    return CellFile(path, where, cells, features, values, bool((flat == np.round(flat)).all()), found)


def _modality(file: h5py.File, path: Path, modality: str) -> h5py.Group:
    if not modality:
        return file
    found = sorted(file["mod"]) if "mod" in file else []
    if modality not in found:
        has = f"its modalities are {', '.join(found)}" if found else "it has no /mod, where an .h5mu file keeps them"
        message = f"{path}: no modality {modality!r}: {has}; expected rna and atac, or two files as --rna and --atac"
        raise InputError(message)
    return file["mod"][modality]


def _index(table: h5py.Group) -> Any:
    return table[table.attrs.get("_index", "_index")]


def _matrix(stored: Any) -> Any:
    """Cells x features, float32: CSR of a sparse matrix, else dense."""
    if isinstance(stored, h5py.Dataset):
        return np.asarray(stored[:], np.float32)
    layout = str(stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", "csr")))
    shape = stored.attrs.get("shape", stored.attrs.get("h5sparse_shape"))
    kind = sp.csc_array if layout.startswith("csc") else sp.csr_array
    parts = stored["data"][:].astype(np.float32), stored["indices"][:], stored["indptr"][:]
    matrix = kind(parts, shape=None if shape is None else tuple(map(int, shape)))
    matrix.check_format(full_check=True)  # indices that point outside are an error, not a crash
    matrix.sum_duplicates()
    return matrix.tocsr()


def _check(where: str, cells: list[str], features: list[str], values: Any) -> None:
    flat = values.data if sp.issparse(values) else values
    if values.shape != (len(cells), len(features)) or not np.isfinite(flat).all() or (flat < 0).any():
        span = f"from {flat.min()} to {flat.max()}" if flat.size else "none"
        message = (
            f"{where}: X is {values.shape} with values {span}; expected {len(cells)} cells x {len(features)} features "
            "of counts or ln(1 + 1e4 x / sum): finite and not below zero, so not scaled"
        )
        raise InputError(message)
    if len(set(cells)) < len(cells):
        again = next(name for place, name in enumerate(cells) if name in cells[:place])
        message = (
            f"{where}: {len(cells) - len(set(cells))} names of cells are there twice, e.g. {again}; make them unique"
        )
        raise InputError(message)


def first_columns(ids: NDArray[np.integer[Any]], genes: int) -> NDArray[np.int64]:
    """``[genes]``: the first column that is of each gene of a vocabulary, -1 for none.

    Args:
        ids: the gene of every column, -1 for none.
        genes: size of the vocabulary.
    """
    distinct, first = np.unique(ids, return_index=True)
    out = np.full(genes, -1, np.int64)
    out[distinct[distinct >= 0]] = first[distinct >= 0]
    return out
