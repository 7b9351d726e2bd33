"""The layout of the network view."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np

from ugrn.runtime.arrays import Array, Codes

from .edges import ReportEdges

MOST_EDGES = 2000
STEPS, MOST_WORK = 50, 60_000  # iterations, and iterations times genes; the time grows with the square of the genes


@dataclass(frozen=True)
class Layout:
    """Places of the genes of the strongest edges.

    Attributes:
        edges: how many edges it is made for.
        genes: int32 ``[G]`` into the page's genes.
        x, y: float32 ``[G]``.
    """

    edges: int
    genes: Codes
    x: Array
    y: Array


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
