"""Data sets of the benchmark: networks, candidate pairs and expression of a BEELINE-like folder.

A folder holds ``edges.parquet`` (dataset, network, panel, source, target), ``genes.parquet`` (dataset, network,
panel, gene, is_tf) and, for some data sets, ``expression/<dataset>.h5`` (``values`` cells x genes, log-normalised,
and ``genes``). BEELINE: Pratapa et al. 2020, Nature Methods, doi:10.1038/s41592-019-0690-6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.hdf5 import UNREADABLE_HDF5
from ugrn.runtime.files.text import UNREADABLE_TABLE

from ..pretrain.corpus import read_layout

KEY = ("dataset", "network", "panel")


@dataclass(frozen=True)
class Network:
    """True edges of one network, and the candidates they are among.

    Attributes:
        name: e.g. ``string``.
        panel: number of variable genes.
        edges: int64 ``[E, 2]``, source and target as places in `DataSet.genes`.
        sources: candidate sources, the same way; those of the edges are among them.
        genes: candidate targets, the same way; those of the edges are among them.
    """

    name: str
    panel: int
    edges: Ids
    sources: Ids
    genes: Ids


@dataclass(frozen=True)
class DataSet:
    """One data set: everything a method may be asked for is a pair of `sources` x `genes`.

    Attributes:
        name: e.g. ``hESC``.
        genes: G symbols, those of all its networks and panels.
        sources: int64 ``[S]``, places in `genes` of all candidate sources.
        networks: by (network, panel).
        expression: float32 ``[cells, G]``, log-normalised; nan where a gene was not measured; None where there is
            none.
    """

    name: str
    genes: tuple[str, ...]
    sources: Ids
    networks: Mapping[tuple[str, int], Network]
    expression: Array | None

    @property
    def upper(self) -> NDArray[np.str_]:
        """Symbols in upper case ``[G]``, in which species are compared."""
        return np.char.upper(np.array(self.genes))

    @property
    def rows(self) -> Ids:
        """``[G]``: the row of a gene in a score matrix ``[S, G]``, -1 where it is no candidate source."""
        rows = np.full(len(self.genes), -1, np.int64)
        rows[self.sources] = np.arange(len(self.sources))
        return rows

    @property
    def of_smallest_panel(self) -> Ids:
        """Places ``[g]`` of all sources and genes that the networks of the smallest panel ask for; rising."""
        least = min(network.panel for network in self.networks.values())
        asked = [each for each in self.networks.values() if each.panel == least]
        return np.unique(np.concatenate([part for each in asked for part in (each.sources, each.genes)]))


def networks_folder(folder: Path) -> Path:
    """The folder of a data folder's networks: itself, or its folder ``beeline``."""
    inner = folder / "beeline"
    return inner if inner.is_dir() and not (folder / "edges.parquet").exists() else folder


def read_datasets(folder: Path, smallest: bool = False) -> dict[str, DataSet]:
    """All data sets of a folder (see `networks_folder`); with `smallest`, their smallest panels alone.

    Raises:
        InputError: a table is missing, lacks a column, or names an edge's gene that is not among the genes.
    """
    folder = networks_folder(folder)
    edges = _table(folder / "edges.parquet", (*KEY, "source", "target"))
    genes = _table(folder / "genes.parquet", (*KEY, "gene", "is_tf"))
    if smallest:
        least = pl.col("panel") == pl.col("panel").min().over("dataset")
        edges, genes = edges.filter(least), genes.filter(least)
    names = sorted(edges["dataset"].unique().to_list())
    return {name: _dataset(folder, name, edges.filter(dataset=name), genes.filter(dataset=name)) for name in names}


def _dataset(folder: Path, name: str, edges: pl.DataFrame, genes: pl.DataFrame) -> DataSet:
    symbols = sorted(genes["gene"].unique().to_list())
    place = {symbol: index for index, symbol in enumerate(symbols)}
    networks = {}
    for (network, panel), listed in sorted(edges.group_by("network", "panel")):
        among = genes.filter(network=network, panel=panel)
        pairs = np.stack([_places(listed[column], place, folder, name) for column in ("source", "target")], axis=1)
        candidates = [_places(part["gene"], place, folder, name) for part in (among.filter("is_tf"), among)]
        networks[str(network), int(str(panel))] = Network(
            str(network),
            int(str(panel)),
            pairs,
            np.union1d(candidates[0], pairs[:, 0]),
            np.union1d(candidates[1], pairs[:, 1]),
        )
    sources = np.unique(np.concatenate([network.sources for network in networks.values()]))
    path = folder / "expression" / f"{name}.h5"
    expression = _expression(path, symbols) if path.exists() else None
    return DataSet(name, tuple(symbols), sources, networks, expression)


def _places(column: pl.Series, place: Mapping[str, int], folder: Path, name: str) -> Ids:
    unknown = sorted(set(column.to_list()) - set(place))
    if unknown:
        message = f"{folder}: edges of {name} name {len(unknown)} genes that genes.parquet lacks: {unknown[:8]}"
        raise InputError(message)
    return np.array([place[symbol] for symbol in column.to_list()], np.int64)


def _table(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    kinds = {"panel": pl.Int64, "is_tf": pl.Boolean}
    try:
        table = pl.read_parquet(path, columns=list(columns))
        table = table.select(pl.col(name).cast(kinds.get(name, pl.String)) for name in columns)
        if sum(table.null_count().row(0)):
            message = f"{sum(table.null_count().row(0))} empty cells"
            raise ValueError(message)
        return table
    except (ValueError, *UNREADABLE_TABLE) as error:
        message = f"{path}: {error}; expected a Parquet table with the columns {', '.join(columns)}, none empty"
        raise InputError(message) from error


def _expression(path: Path, symbols: list[str]) -> Array:
    try:
        with h5py.File(path) as file:
            genes, values = read_layout(file)
    except UNREADABLE_HDF5 as error:
        message = f"{path}: {error}; expected HDF5 with 'values' (cells x genes) and 'genes'"
        raise InputError(message) from error
    column = {gene: index for index, gene in enumerate(genes)}
    measured = [index for index, symbol in enumerate(symbols) if symbol in column]
    out = np.full((len(values), len(symbols)), np.nan, np.float32)
    out[:, measured] = values[:, [column[symbols[index]] for index in measured]]
    return out
