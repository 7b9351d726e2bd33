"""Annotation tables of files of cells: the columns of ``obs`` and ``var``, as texts or as groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from ..arrays import Codes
from ..errors import InputError
from .hdf5 import UNREADABLE_HDF5


class UnreadableCells(InputError):
    """A file, `where`, is not of cells, or damaged; `reason` says why."""

    def __init__(self, where: str, reason: object) -> None:
        super().__init__(f"{where}: not a readable .h5ad file ({reason})")
        self.where, self.reason = where, reason


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn what h5py and numpy raise of a file that is no such file, or damaged, into one error."""
    try:
        yield
    except InputError:
        raise
    except UNREADABLE_HDF5 as error:
        raise UnreadableCells(where, error) from error


@dataclass(frozen=True)
class Groups:
    """Groups of N cells: K distinct `names`, sorted, and of every cell the place of its group, `codes` ``[N]``."""

    names: list[str]
    codes: Codes

    @classmethod
    def of(cls, labels: Sequence[str], codes: Codes | None = None) -> Groups:
        """Groups of labels, one per cell; or of labels that may repeat or not occur, with their `codes` ``[N]``."""
        names, places = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
        present, group = np.unique(places if codes is None else places[codes], return_inverse=True)
        return cls([str(name) for name in names[present]], group.astype(np.int32))

    @classmethod
    def one(cls, cells: int) -> Groups:
        """All cells in one group without a name."""
        return cls([""] if cells else [], np.zeros(cells, np.int32))


@dataclass(frozen=True)
class Table:
    """A table of annotations, ``obs`` or ``var``.

    Attributes:
        stored: a group of columns; of the oldest files one array of records, whose first field is the index.
        where: the file, for messages.
        notes: ``uns`` of the file; in the oldest ones ``NAME_categories`` has the texts of a categorical column.
    """

    stored: Any
    where: str
    notes: Any = None

    def __len__(self) -> int:
        with reading(self.where):
            column = self.stored[self._index]
            return len(column["codes" if "codes" in column else "values"] if isinstance(column, h5py.Group) else column)

    @property
    def columns(self) -> list[str]:
        """Names of the columns; of the index too, where it has one."""
        with reading(self.where):
            names = self.stored.dtype.names if isinstance(self.stored, h5py.Dataset) else self.stored
            return [name for name in names if not name.startswith("_")]

    @property
    def _index(self) -> str:
        if isinstance(self.stored, h5py.Dataset):
            return str(self.stored.dtype.names[0])
        return str(self.stored.attrs.get("_index", "_index"))

    def index(self) -> list[str]:
        """Names of the rows."""
        with reading(self.where):
            return self.strings(self._index)

    def strings(self, name: str, missing: str = "") -> list[str]:
        """The texts of a column, be it plain, categorical or nullable; `missing` where there is none."""
        with reading(self.where):
            labels, codes = self._labels(name, missing)
            return labels if codes is None else [labels[code] for code in codes]

    def groups(self, name: str, missing: str) -> Groups:
        """The groups of rows that have the same text in a column; `missing` is the group of those without one."""
        with reading(self.where):
            return Groups.of(*self._labels(name, missing))

    def _labels(self, name: str, missing: str) -> tuple[list[str], Codes | None]:
        """A column's texts, row by row; or its distinct ones, `missing` last, and each row's place in them."""
        column, categories = self.stored[name], None
        if isinstance(column, h5py.Group) and "categories" in column:
            column, categories = column["codes"], column["categories"]
        elif isinstance(column, h5py.Group):
            gaps = column["mask"][:]
            return [missing if gap else text for text, gap in zip(texts(column["values"]), gaps, strict=True)], None
        elif isinstance(column, h5py.Dataset) and "categories" in column.attrs:
            categories = column.parent[column.attrs["categories"]]
        elif isinstance(self.stored, h5py.Dataset) and self.notes is not None:
            categories = self.notes.get(f"{name}_categories")
        if categories is None:
            return texts(column), None
        return [*texts(categories), missing], np.asarray(column[:], np.int32)


def texts(values: Any) -> list[str]:
    """The texts of an array, or of a data set of a file; of a scalar one."""
    return [value.decode() if isinstance(value, bytes) else str(value) for value in np.atleast_1d(values[()])]
