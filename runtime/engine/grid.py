"""The levels of a source that go through the graphs, and the graph that each one takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..artifact.folder import Artifact

LEAST_VALUES = 0.25  # of the levels, from which on those that need no gradient take the graph without it
GRADIENT_GRAPH, VALUE_GRAPH = "gdt.onnx", "vvp.onnx"


@dataclass(frozen=True)
class Grid:
    """The levels that are run: the union of those the probes need, and the baseline.

    Attributes:
        levels: float32 ``[K]``; those that need the gradient come first, else ascending.
        rows: per probe, the places of its levels in `levels`.
        baseline: place of the baseline.
        graphs: name of a graph -> the part of `levels` that it runs.
    """

    levels: Array
    rows: dict[str, NDArray[np.intp]]
    baseline: int
    graphs: dict[str, slice]


def level_grid(artifact: Artifact, probes: tuple[str, ...]) -> Grid:
    """The union of levels that `probes` need.

    A level that needs no gradient costs about half in the graph without it. Another graph has to be loaded for that,
    and computes anew what all levels of a source share: `LEAST_VALUES` says from where on it is worth it.
    """
    manifest = artifact.manifest
    steep = set(manifest.gdt_levels) if "gdt" in probes else set()
    flat = {manifest.baseline, *(manifest.vvp_levels if "vvp" in probes else ())} - steep
    if steep and len(flat) < LEAST_VALUES * (len(steep) + len(flat)):
        steep, flat = steep | flat, set()
    levels = sorted(steep) + sorted(flat)
    parts = {GRADIENT_GRAPH: slice(0, len(steep)), VALUE_GRAPH: slice(len(steep), len(levels))}
    asked = {"vvp": manifest.vvp_levels, "gdt": manifest.gdt_levels}
    return Grid(
        np.array(levels, np.float32),
        {probe: np.array([levels.index(level) for level in asked[probe]]) for probe in probes},
        levels.index(manifest.baseline),
        {graph: part for graph, part in parts.items() if part.start < part.stop},
    )
