"""Response and gradient curves of the edges that a reader is likeliest to ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime import Scorer
from ugrn.runtime.arrays import Array, Codes
from ugrn.runtime.progress import Progress

from .edges import ReportEdges


@dataclass(frozen=True)
class Curves:
    """Probe features of n edges.

    Attributes:
        edges: int32 ``[n]``, places of the edges.
        response: float32 ``[n, M]``, VVP at each of its levels.
        gradient: float32 ``[n, T]``, GDT at each of its levels.
    """

    edges: Codes
    response: Array
    gradient: Array


def edges_with_curves(edges: ReportEdges, usable: NDArray[np.bool_], count: int) -> Codes:
    """Places of the edges that get curves: the strongest of every source, then the strongest of all, `count` at most.

    Args:
        edges: N of them, the strongest first.
        usable: ``[N]``, True where the artifact knows both genes.
        count: at most.

    Returns:
        Places, ascending.
    """
    places = np.flatnonzero(usable)
    _, first = np.unique(edges.source[places], return_index=True)
    others = np.setdiff1d(np.arange(len(places)), first)
    chosen = np.concatenate([np.sort(first), others])[:count]
    return np.sort(places[chosen]).astype(np.int32)


def compute_curves(scorer: Scorer, edges: ReportEdges, count: int, progress: Progress) -> Curves:
    """Curves of at most `count` edges; edges with genes that the artifact does not know have none."""
    ids = scorer.artifact.names.ids(edges.genes)
    source, target = ids[edges.source], ids[edges.target]
    chosen = edges_with_curves(edges, (source >= 0) & (target >= 0) & (source != target), count)
    manifest = scorer.artifact.manifest
    if not len(chosen):
        empty = (np.empty((0, len(levels)), np.float32) for levels in (manifest.vvp_levels, manifest.gdt_levels))
        return Curves(chosen, *empty)
    found = scorer.features_of_ids(source[chosen], target[chosen], progress)
    return Curves(chosen, found["vvp"], found["gdt"])
