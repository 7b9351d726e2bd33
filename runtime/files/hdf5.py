"""The layout that pair batches and results share: names are held once, sources and targets point into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import polars as pl
from numpy.typing import NDArray

GENES = "genes/symbol"
PACKED = {"compression": "lzf", "shuffle": True, "fletcher32": True}
UNREADABLE_HDF5 = (OSError, LookupError, ValueError, TypeError, AttributeError, pl.exceptions.PolarsError)
"""Errors of reading HDF5 that is none, damaged, or of another layout."""


def write_genes(file: h5py.File, genes: Sequence[str]) -> None:
    """Write the distinct names, G."""
    file.create_dataset(GENES, data=genes, dtype=h5py.string_dtype())


def read_genes(file: h5py.File) -> list[str]:
    """The names, G.

    Raises:
        UNREADABLE_HDF5: there are none, or they are no column of text.
    """
    names = file[GENES]
    if names.ndim != 1:
        message = f"/{GENES} has {names.ndim} dimensions"
        raise ValueError(message)
    return list(names.asstr()[:])


def point_into(count: int, source: NDArray[Any], target: NDArray[Any]) -> bool:
    """True where sources and targets are whole numbers ``[n]`` from 0 to below `count`."""
    ends = (source, target)
    if source.ndim != 1 or source.shape != target.shape or any(each.dtype.kind not in "iu" for each in ends):
        return False
    return len(source) == 0 or all(0 <= each.min() <= each.max() < count for each in ends)
