"""Cell-specific networks in one HDF5 file: regulons once, and for every cell which of them are active.

Layout, format 1; G genes, R regulons by source, E edges, N cells:

    /genes/symbol          text [G]
    /regulons/source       int32 [R], into the genes
    /regulons/indptr       int64 [R + 1]: the edges of regulon r are indptr[r] to indptr[r + 1]
    /regulons/target       int32 [E], into the genes
    /regulons/weight       float32 [E], what the network says of an edge; 1 where it says nothing
    /regulons/threshold    float32 [R]: a regulon is active in a cell where its activity is above
    /cells/name            text [N]
    /cells/indptr          int64 [N + 1], into `regulon`
    /cells/regulon         int32, the active regulons, cell by cell
    /activity              float32 [N, R]

A threshold is -inf where a regulon is active in every cell, inf where it is in none. Attributes of the file: `kind`,
`format`, and the metadata: `artifact` (its sha256), `cells` (file name), `cells_sha256`, the settings, and `network`
(JSON: the origin of the edges).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import replace_with
from ugrn.runtime.files.hdf5 import UNREADABLE_HDF5

from .network import Network, Regulons

KIND, FORMAT = "ugrn cell networks", 1
NETWORK = "network"  # the metadata that is JSON
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class CellNetworks:
    """An opened file of cell-specific networks.

    Attributes:
        path: of the file.
        regulons: whose edges the cells' networks are made of.
        threshold: float32 ``[R]``.
        cells: N names.
        indptr: int64 ``[N + 1]``, into `regulon`.
        regulon: int64, the active regulons, cell by cell.
        metadata: artifact, cells, settings and network that the file was made of.
    """

    path: Path
    regulons: Regulons
    threshold: Array
    cells: list[str]
    indptr: Ids
    regulon: Ids
    metadata: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> CellNetworks:
        """Read all but the activities.

        Raises:
            InputError: the file is none of `ugrn cell-networks`, of a newer format, or damaged.
        """
        path = Path(path)
        try:
            with h5py.File(path) as file:
                _check_kind(path, file)
                genes, cells = (list(file[name].asstr()[:]) for name in ("genes/symbol", "cells/name"))
                whole = ("source", "indptr", "target")
                source, bounds, target = (file[f"regulons/{name}"][:].astype(np.int64) for name in whole)
                weight, threshold = (file[f"regulons/{name}"][:] for name in ("weight", "threshold"))
                indptr, regulon = (file[f"cells/{name}"][:].astype(np.int64) for name in ("indptr", "regulon"))
                metadata, shape = _metadata(file), file["activity"].shape
        except InputError:
            raise
        except UNREADABLE_HDF5 as error:
            message = f"{path}: not readable as cell-specific networks ({error}); make it with: ugrn cell-networks"
            raise InputError(message) from error
        regulons = Regulons(genes, source, bounds, target, weight)
        _check_shapes(path, regulons, len(threshold), len(cells), indptr, regulon, shape)
        return cls(path, regulons, threshold, cells, indptr, regulon, metadata)

    @property
    def active(self) -> NDArray[np.bool_]:
        """True where a regulon is active in a cell, ``[N, R]``."""
        out = np.zeros((len(self.cells), len(self.regulons)), bool)
        out[np.repeat(np.arange(len(self.cells)), np.diff(self.indptr)), self.regulon] = True
        return out

    @property
    def activity(self) -> Array:
        """Activities ``[N, R]``, read anew from the file."""
        with h5py.File(self.path) as file:
            return np.asarray(file["activity"][:])

    def edges(self, cell: int | str) -> Network:
        """The network of a cell, by its place or its name, over the file's genes.

        Raises:
            InputError: no cell has that name.
        """
        if isinstance(cell, str):
            if cell not in self._place:
                message = f"{self.path}: no cell {cell!r} among its {len(self.cells)}; the first is {self.cells[0]!r}"
                raise InputError(message)
            cell = self._place[cell]
        chosen = np.zeros(len(self.regulons), bool)
        chosen[self.regulon[self.indptr[cell] : self.indptr[cell + 1]]] = True
        edges, whole = chosen[self.regulons.of_edge], self.regulons.network
        return Network(whole.sources[edges], whole.targets[edges], whole.genes)

    def shares(self) -> Array:
        """Share of the cells in which each regulon is active, float32 ``[R]``."""
        counts = np.bincount(self.regulon, minlength=len(self.regulons))
        return (counts / max(len(self.cells), 1)).astype(np.float32)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.cells)}


def is_cell_networks(path: Path) -> bool:
    """True where a file is marked as one of cell-specific networks."""
    try:
        with h5py.File(path) as file:
            return bool(file.attrs.get("kind") == KIND)
    except OSError:
        return False


def write_cell_networks(
    path: Path, regulons: Regulons, cells: Sequence[str], activity: Array, threshold: Array, metadata: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """Write a file as in the module's docstring, whole or not at all.

    Returns:
        True where a regulon is active in a cell, ``[N, R]``.
    """
    active = activity > threshold

    def write(part: Path) -> None:
        packed: dict[str, Any] = {"compression": "gzip", "shuffle": True}
        with h5py.File(part, "w") as file:
            stored = {name: json.dumps(value) if name == NETWORK else value for name, value in metadata.items()}
            file.attrs.update(kind=KIND, format=FORMAT, **stored)
            text = h5py.string_dtype()
            file.create_dataset("genes/symbol", data=regulons.genes, dtype=text)
            for name in ("source", "target"):
                file.create_dataset(f"regulons/{name}", data=getattr(regulons, name).astype(np.int32))
            file.create_dataset("regulons/indptr", data=regulons.indptr.astype(np.int64))
            file.create_dataset("regulons/weight", data=regulons.weight)
            file.create_dataset("regulons/threshold", data=threshold)
            file.create_dataset("cells/name", data=list(cells), dtype=text)
            file.create_dataset("cells/indptr", data=np.append(0, np.cumsum(active.sum(1))).astype(np.int64))
            file.create_dataset("cells/regulon", data=np.nonzero(active)[1].astype(np.int32))
            chunks = (min(ROWS_AT_ONCE, len(activity)), activity.shape[1])
            file.create_dataset("activity", data=activity, chunks=chunks, **packed)

    replace_with(path, write)
    return active


def _metadata(file: h5py.File) -> dict[str, Any]:
    found = {name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()}
    metadata = {name: value for name, value in found.items() if name not in ("kind", "format")}
    return metadata | {NETWORK: json.loads(metadata[NETWORK])}


def _check_kind(path: Path, file: h5py.File) -> None:
    kind, found = file.attrs.get("kind"), file.attrs.get("format", 0)
    if kind != KIND:
        message = f"{path}: holds no cell-specific networks; expected a result of ugrn cell-networks"
        raise InputError(message)
    if found > FORMAT:
        message = f"{path}: is of format {found}, and this ugrn reads formats 1 to {FORMAT}; upgrade ugrn"
        raise InputError(message)


def _check_shapes(
    path: Path, regulons: Regulons, thresholds: int, cells: int, indptr: Ids, regulon: Ids, activity: tuple[int, ...]
) -> None:
    count, genes = len(regulons), len(regulons.genes)
    fits = (
        _is_csr(regulons.indptr, count, regulons.target, genes),
        _is_csr(indptr, cells, regulon, count),
        count == 0 or (0 <= regulons.source.min() and regulons.source.max() < genes),
        (len(regulons.weight), thresholds, activity) == (len(regulons.target), count, (cells, count)),
    )
    if not all(fits):
        message = f"{path}: its parts do not fit each other; it is damaged: make it again with ugrn cell-networks"
        raise InputError(message)


def _is_csr(indptr: Ids, rows: int, indices: Ids, columns: int) -> bool:
    """True where row bounds and column indices are those of a sparse matrix."""
    bounds = len(indptr) == rows + 1 and indptr[0] == 0 and indptr[-1] == len(indices) and (np.diff(indptr) >= 0).all()
    return bool(bounds and (len(indices) == 0 or (indices.min() >= 0 and indices.max() < columns)))
