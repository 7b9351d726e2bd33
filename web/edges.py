"""The strongest edges of a result, as the page holds them: names numbered, numbers in columns, genes laid out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl

from ugrn.runtime.arrays import Array, Codes
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.results import scan_results
from ugrn.runtime.files.tables import ENDS
from ugrn.runtime.files.text import UNREADABLE_TABLE

PROBABILITY = "probability"
FEATURE = re.compile(r"(vvp|gdt)_\d+")
MOST_EDGES = 2000
STEPS, MOST_WORK = 50, 60_000  # iterations, and iterations times genes; the time grows with the square of the genes


@dataclass(frozen=True)
class ReportEdges:
    """N edges, the strongest first; of equally strong ones in the order of the file.

    Attributes:
        genes: the distinct names in alphabetical order, so that numbers sort them.
        source, target: int32 ``[N]`` into `genes`.
        columns: float32 ``[N]`` by name: the probability, and what other numbers the file has; nan where it has none.
        total: edges of the file that have a probability.
        unscored: those that have none.
        hidden: columns of the file that are not among `columns`: text, and probe features.
    """

    genes: list[str]
    source: Codes
    target: Codes
    columns: Mapping[str, Array]
    total: int
    unscored: int
    hidden: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class Layout:
    """Places of the genes of the strongest edges.

    Attributes:
        edges: number of edges that it is made for.
        genes: int32 ``[G]`` into the page's genes.
        x, y: float32 ``[G]``.
    """

    edges: int
    genes: Codes
    x: Array
    y: Array


def read_edges(path: Path, top: int) -> ReportEdges:
    """Read the `top` strongest edges of a result of ``ugrn score`` or ``ugrn network``.

    Args:
        path: ``.csv``, ``.tsv`` (each also ``.gz``), ``.parquet`` or ``.h5``.
        top: the most edges that are read.

    Raises:
        InputError: the file cannot be read as such a result, or holds no edge.
    """
    if not path.is_file():
        message = f"{path}: no such file; expected a result of 'ugrn score' or 'ugrn network'"
        raise InputError(message)
    try:
        scan = scan_results(path)
        columns = scan.collect_schema()
        missing = [name for name in (*ENDS, PROBABILITY) if name not in columns]
        if missing:
            message = (
                f"{path}: found columns {list(columns)}, and no {' and no '.join(missing)}; "
                "expected source, target and probability, as 'ugrn score' and 'ugrn network' write them"
            )
            raise InputError(message)
        numbers = [name for name, kind in columns.items() if _is_shown(name, kind)]
        shown = scan.select(*ENDS, *(pl.col(name).cast(pl.Float32).fill_nan(None) for name in [PROBABILITY, *numbers]))
        total, unscored = _count(shown, path)
        strongest = _strongest(shown, top, total)
    except InputError:
        raise
    except UNREADABLE_TABLE as error:
        message = f"{path}: not readable as a table of edges ({error}); run 'ugrn score' or 'ugrn network' again"
        raise InputError(message) from error
    hidden = tuple(name for name in columns if name not in (*ENDS, PROBABILITY, *numbers))
    return _numbered(strongest, total, unscored, hidden)


def _is_shown(name: str, kind: pl.DataType) -> bool:
    return name not in (*ENDS, PROBABILITY) and kind.is_numeric() and FEATURE.fullmatch(name) is None


def _count(table: pl.LazyFrame, path: Path) -> tuple[int, int]:
    """Edges with and without a probability."""
    found = table.select(
        pl.len().alias("rows"),
        pl.col(PROBABILITY).count().alias("scored"),
        pl.col(PROBABILITY).min().alias("least"),
        pl.col(PROBABILITY).max().alias("most"),
        (pl.col("source").count() + pl.col("target").count()).alias("ends"),
    ).collect()
    rows, scored, least, most, ends = found.row(0)
    if not scored:
        message = f"{path}: {rows} rows, none with a probability; there is nothing to report"
        raise InputError(message)
    if least < 0 or most > 1:
        message = f"{path}: probabilities from {least:g} to {most:g}; expected numbers from 0 to 1"
        raise InputError(message)
    if ends < 2 * rows:
        message = f"{path}: {2 * rows - ends} sources or targets are empty; expected a gene in each"
        raise InputError(message)
    return int(scored), int(rows - scored)


def _strongest(table: pl.LazyFrame, top: int, total: int) -> pl.DataFrame:
    """The `top` strongest of the scored edges, in the order of `ReportEdges`; never sorts more than those."""
    value = pl.col(PROBABILITY)
    found = table.filter(value.is_not_null())
    if total > top:
        least = float(found.select(value.top_k(top).min()).collect().item())
        above = found.filter(value > least).collect()
        found = pl.concat([above, found.filter(value == least).head(top - len(above)).collect()]).lazy()
    return found.sort(PROBABILITY, descending=True, maintain_order=True).collect()


def _numbered(table: pl.DataFrame, total: int, unscored: int, hidden: tuple[str, ...]) -> ReportEdges:
    table = table.with_columns(pl.col(end).cast(pl.String) for end in ENDS)
    genes = sorted(set(table["source"]) | set(table["target"]), key=lambda name: (name.casefold(), name))
    number: dict[str, Any] = {name: place for place, name in enumerate(genes)}
    source, target = (np.fromiter((number[name] for name in table[end]), np.int32, count=len(table)) for end in ENDS)
    columns = {name: table[name].fill_null(float("nan")).to_numpy() for name in table.columns if name not in ENDS}
    return ReportEdges(genes, source, target, columns, total, unscored, hidden)


def lay_out(edges: ReportEdges, count: int = MOST_EDGES) -> Layout:
    """Lay out the `count` strongest edges by a spring model (Fruchterman and Reingold 1991), the same every time."""
    count = min(count, len(edges))
    source, target = edges.source[:count], edges.target[:count]
    graph = nx.Graph()
    graph.add_edges_from(zip(source.tolist(), target.tolist(), strict=True))
    steps = min(STEPS, max(1, MOST_WORK // len(graph)))
    found = nx.spring_layout(graph, method="energy", iterations=steps, seed=0)
    x, y = np.array([found[gene] for gene in graph], np.float32).T
    return Layout(count, np.array(list(graph), np.int32), x, y)
