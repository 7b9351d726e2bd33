"""What is read of ``.h5ad`` files, with h5py alone: text columns, and the names of the genes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from ..arrays import Codes

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
UNREADABLE = (OSError, LookupError, ValueError, TypeError, AttributeError)
"""What reading something that is no such file, or a damaged one, raises."""


def read_genes_of_cells(file: h5py.File, ids: Callable[[list[str]], Codes]) -> tuple[str, list[str]]:
    """Where the genes' names stand, and the names: a symbol column or ``var_names``, of which most are known.

    Args:
        file: an open ``.h5ad`` file.
        ids: vocabulary rows of names, -1 where one is not known.

    Raises:
        UNREADABLE: the file has no such table of genes.
    """
    table = file["var"]
    columns = {f"var[{key!r}]": table[key] for key in table if key.lower() in SYMBOL_COLUMNS}
    columns["var_names"] = table[table.attrs.get("_index", "_index")]
    found = {where: strings(column) for where, column in columns.items()}
    known = {where: len(np.setdiff1d(ids(genes), [-1])) for where, genes in found.items()}
    best = max(known, key=lambda where: known[where])
    return best, found[best]


def strings(column: Any, missing: str = "") -> list[str]:
    """The strings of a plain, categorical or nullable column; `missing` where there is none."""
    if isinstance(column, h5py.Group) and "categories" in column:
        categories = strings(column["categories"])
        return [categories[code] if code >= 0 else missing for code in column["codes"][:]]
    if isinstance(column, h5py.Group):
        gaps = column["mask"][:]
        return [missing if gap else text for text, gap in zip(strings(column["values"]), gaps, strict=True)]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in column[:]]
