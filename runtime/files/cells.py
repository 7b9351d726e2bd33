"""Cells of ``.h5ad`` files, and of the modalities of ``.h5mu`` files, with h5py alone.

A file has a table of its cells (``obs``), one of its genes (``var``), and matrices of cells x genes: ``X``,
``layers/NAME`` and ``raw/X``, of which the last has genes of its own. Tables are read column by column, matrices block
by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..arrays import Codes
from ..errors import InputError
from .annotations import Table, UnreadableCells, reading, texts
from .matrices import VALUES_AT_ONCE, Matrix, Rows, ValueRange, open_matrix

SYMBOL_COLUMNS = (
    "feature_name",
    "gene_symbols",
    "gene_symbol",
    "symbol",
    "gene_name",
    "gene_names",
    "gene_short_name",
    "hgnc_symbol",
)
X = "X"


@dataclass(frozen=True)
class StoredMatrix:
    """A `Matrix` of a file, whose faults are `UnreadableCells`."""

    source: Matrix
    where: str

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return self.source.shape

    def blocks(self, at_once: int = VALUES_AT_ONCE) -> Iterator[Rows]:
        """See `Matrix`."""
        with reading(self.where):
            yield from self.source.blocks(at_once)


@dataclass(frozen=True)
class CellReader:
    """An open file of cells, or one modality of it; `where` is what messages call it. See `open_cells`."""

    group: h5py.Group
    where: str

    @property
    def obs(self) -> Table:
        """The table of cells."""
        return self._table("obs")

    def var(self, matrix: str = X) -> Table:
        """The table of the genes of a matrix."""
        return self._table("raw/var" if matrix.startswith("raw/") else "var")

    def genes(self, ids: Callable[[list[str]], Codes], matrix: str = X) -> tuple[str, list[str]]:
        """The place of the genes' names, and the names: a symbol column or ``var_names``, of which most are known.

        Args:
            ids: vocabulary rows ``[N]`` of N names, -1 where one is not known.
            matrix: whose genes.
        """
        table = self.var(matrix)
        found = {f"var[{key!r}]": table.strings(key) for key in table.columns if key.lower() in SYMBOL_COLUMNS}
        found["var_names"] = table.index()
        known = {where: len(np.setdiff1d(ids(genes), [-1])) for where, genes in found.items()}
        best = max(known, key=lambda where: known[where])
        return best, found[best]

    @property
    def matrices(self) -> list[str]:
        """Names of the matrices: ``X``, ``layers/NAME``, ``raw/X``."""
        with reading(self.where):
            names = [X, *(f"layers/{name}" for name in self.group.get("layers", ())), "raw/X"]
            return [name for name in names if name in self.group]

    def matrix(self, name: str = X) -> StoredMatrix:
        """One of `matrices`, to be read while the file is open."""
        if name not in self.matrices:
            raise UnreadableCells(self.where, f"no matrix {name}; it has: {', '.join(self.matrices) or 'none'}")
        shape = len(self.obs), len(self.var(name))
        with reading(self.where):
            return StoredMatrix(open_matrix(self.group[name], shape), self.where)

    def note(self, name: str) -> str | None:
        """An unstructured annotation (``uns``) that is one text or number; None where there is none."""
        with reading(self.where):
            stored = self.group.get(f"uns/{name}")
            return texts(stored)[0] if isinstance(stored, h5py.Dataset) and stored.size == 1 else None

    def _table(self, name: str) -> Table:
        with reading(self.where):
            return Table(self.group[name], self.where, self.group.get("uns"))


@contextmanager
def open_cells(path: Path, modality: str = "") -> Iterator[CellReader]:
    """Open a file of cells.

    Args:
        path: ``.h5ad``, or ``.h5mu`` with a modality.
        modality: of an ``.h5mu`` file, e.g. ``rna``; it is laid out like an ``.h5ad`` file.

    Raises:
        InputError: there is no such file or modality.
        UnreadableCells: it is no such file; the reader raises it too, where it comes upon damage.
    """
    if not path.is_file():
        message = f"{path}: no such file; expected cells ({'.h5mu' if modality else '.h5ad'})"
        raise InputError(message)
    where = f"{path} ({modality})" if modality else str(path)
    with reading(where):
        file = h5py.File(path)
    with file:
        with reading(where):
            group = _modality(file, path, modality) if modality else file
        yield CellReader(group, where)


def require_expression(matrix: Matrix, where: str, cells: int, genes: int, features: str = "genes") -> bool:
    """True where all values of a matrix are whole numbers, so counts.

    Args:
        matrix: read once.
        where: what messages call it.
        cells, genes: rows and columns that it should have.
        features: what messages call the columns.

    Raises:
        InputError: it has another shape, or values that are no expression.
    """
    values = ValueRange.of(matrix)
    if matrix.shape != (cells, genes) or not (values.lowest >= 0 and np.isfinite(values.highest)):
        message = (
            f"{where}: X is {matrix.shape} with values from {values.lowest} to {values.highest}; expected {cells} "
            f"cells x {genes} {features} of counts or ln(1 + 1e4 x / sum): finite and not below zero, so not scaled"
        )
        raise InputError(message)
    return values.whole


def _modality(file: h5py.File, path: Path, modality: str) -> h5py.Group:
    found = sorted(file["mod"]) if "mod" in file else []
    if modality not in found:
        has = f"its modalities are {', '.join(found)}" if found else "it has no /mod, where an .h5mu file keeps them"
        message = f"{path}: no modality {modality!r}: {has}; expected rna and atac, or two files as --rna and --atac"
        raise InputError(message)
    return file["mod"][modality]
