"""Features of all candidate pairs of a data set: what translators of the benchmark are trained on.

Places are columns of `DataSet.genes`; S candidate sources, G genes, F features of one part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime import Scorer
from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.engine.grid import VALUE_GRAPH
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.engine.session import RuntimeSettings
from ugrn.runtime.engine.units import CONVERSIONS, Cells, mean_profiles
from ugrn.runtime.files.annotations import Groups
from ugrn.runtime.files.matrices import DenseMatrix
from ugrn.runtime.genes.names import GeneNames

from .datasets import DataSet

MOST_CONTEXT = 1000


class PairFeatures(Protocol):
    """Features of pairs of a data set."""

    def __call__(self, data: DataSet, sources: Ids, targets: Ids) -> Mapping[str, Array]:
        """Per part of a translator float32 ``[N, F]``, for pairs of places ``[N]`` of known genes."""


def known_ids(names: GeneNames, data: DataSet) -> Ids:
    """``[G]``: a data set's genes in a vocabulary, -1 for those it lacks and for second names of one gene."""
    ids = names.ids(list(data.genes)).astype(np.int64)
    first = np.zeros(len(ids), bool)
    first[np.unique(ids, return_index=True)[1]] = True
    return np.where(first, ids, -1)


def known_block(names: GeneNames, data: DataSet) -> tuple[Ids, Ids, Ids]:
    """A data set's ids ``[G]``, and the rows and columns of its score matrices whose genes a vocabulary knows."""
    ids = known_ids(names, data)
    return ids, np.flatnonzero(ids[data.sources] >= 0), np.flatnonzero(ids >= 0)


def spread(values: Array, rows: Ids, columns: Ids, data: DataSet) -> Array:
    """Values ``[rows, columns, ...]`` in their places of a data set's matrix ``[S, G, ...]``, nan elsewhere."""
    out = np.full((len(data.sources), len(data.genes), *values.shape[2:]), np.nan, np.float32)
    out[np.ix_(rows, columns)] = values
    return out


@dataclass(frozen=True)
class ProbeFeatures:
    """VVP and GDT of an artifact, computed once for every candidate pair of a data set."""

    scorer: Scorer
    report: Callable[[str, int, int], None] = lambda what, done, total: None
    kept: dict[str, dict[str, Array]] = field(default_factory=dict)

    def dense(self, data: DataSet) -> dict[str, Array]:
        """Per probe ``[S, G, F]``, nan where a gene is not known."""
        if data.name not in self.kept:
            ids, rows, columns = known_block(self.scorer.artifact.names, data)
            pairs = np.repeat(ids[data.sources[rows]], len(columns)), np.tile(ids[columns], len(rows))
            found = self.scorer.features_of_ids(*pairs, partial(self.report, data.name))
            self.kept[data.name] = {
                probe: spread(values.reshape(len(rows), len(columns), -1), rows, columns, data)
                for probe, values in found.items()
            }
        return self.kept[data.name]

    def __call__(self, data: DataSet, sources: Ids, targets: Ids) -> dict[str, Array]:
        return {probe: each[data.rows[sources], targets] for probe, each in self.dense(data).items()}


@dataclass(frozen=True)
class Joined:
    """The parts of several features together."""

    parts: tuple[PairFeatures, ...]

    def __call__(self, data: DataSet, sources: Ids, targets: Ids) -> dict[str, Array]:
        return {name: each for part in self.parts for name, each in part(data, sources, targets).items()}


@dataclass(frozen=True)
class GeneOnly:
    """The marginal means of probe features over targets and over sources: hubs, but no pair."""

    probes: ProbeFeatures
    kept: dict[str, dict[str, tuple[Array, Array]]] = field(default_factory=dict)

    def means(self, data: DataSet) -> dict[str, tuple[Array, Array]]:
        """Per probe the means of every source ``[S, F]`` and of every target ``[G, F]``."""
        if data.name not in self.kept:
            self.kept[data.name] = {}
            for probe, each in self.probes.dense(data).items():
                known, total = ~np.isnan(each[..., :1]), np.nan_to_num(each)
                of_source, of_target = (total.sum(axis) / np.maximum(known.sum(axis), 1) for axis in (1, 0))
                self.kept[data.name][probe] = of_source.astype(np.float32), of_target.astype(np.float32)
        return self.kept[data.name]

    def __call__(self, data: DataSet, sources: Ids, targets: Ids) -> dict[str, Array]:
        found = self.means(data)
        return {
            probe: np.concatenate([of_source[data.rows[sources]], of_target[targets]], axis=1)
            for probe, (of_source, of_target) in found.items()
        }


@dataclass(frozen=True)
class ShuffledTargets:
    """Probe features in which every target has those of another target of the data set."""

    probes: ProbeFeatures

    def __call__(self, data: DataSet, sources: Ids, targets: Ids) -> dict[str, Array]:
        known = np.flatnonzero(known_ids(self.probes.scorer.artifact.names, data) >= 0)
        shuffled = np.arange(len(data.genes))
        order = np.random.default_rng([0, len(known)]).permutation(known)
        shuffled[order] = np.roll(order, 1)  # nobody keeps its own
        return self.probes(data, sources, shuffled[targets])


@dataclass(frozen=True)
class EmbeddingFeatures:
    """Two genes' embeddings, added (the paper's Emb) or multiplied component by component.

    Attributes:
        table: ``[V, E]``.
        names: its V genes.
        part: name of the translator's part, which decides how it is fitted.
        combine: e.g. `np.add` or `np.multiply`.
    """

    table: NDArray[np.floating]
    names: GeneNames
    part: str
    combine: Callable[[Array, Array], Array]

    def __call__(self, data: DataSet, sources: Ids, targets: Ids) -> dict[str, Array]:
        ids = known_ids(self.names, data)
        left, right = (self.table[ids[places]].astype(np.float32) for places in (sources, targets))
        return {self.part: self.combine(left, right)}


@dataclass(frozen=True)
class Knockout:
    """Pert, the usual in-silico perturbation: the source of a real mean profile is set to zero.

    The virtual cell is the data set's mean profile in the artifact's units (its most expressed genes); M_j with the
    source at zero expression less M_j with it at its mean. For artifacts of z-scores the mean is zero by definition,
    and zero expression is minus the mean over the standard deviation, between the lowest VVP level and -1. Without
    expression, or where the artifact's units cannot be had from log-normalised values, the artifact's own virtual
    cell and the lowest VVP level stand for them; with `virtual` always, so that training and test are alike.
    """

    artifact: Artifact
    settings: RuntimeSettings
    virtual: bool = False
    kept: dict[str, Array] = field(default_factory=dict)

    def dense(self, data: DataSet) -> Array:
        """``[S, G]``, nan where a gene is not known."""
        if data.name not in self.kept:
            ids, rows, columns = known_block(self.artifact.names, data)
            artifact, mean, zero = self._cell(data, ids)
            places = data.sources[rows]
            levels = np.stack([zero[places], mean[places]], axis=1)
            found = predictions(artifact, self.settings, ids[places], levels, ids[columns])
            self.kept[data.name] = spread(found[:, 0] - found[:, 1], rows, columns, data)
        return self.kept[data.name]

    def __call__(self, data: DataSet, sources: Ids, targets: Ids) -> dict[str, Array]:
        return {"pert": self.dense(data)[data.rows[sources], targets][:, None]}

    def _cell(self, data: DataSet, ids: Ids) -> tuple[Artifact, Array, Array]:
        """The artifact in the data set's state, and every gene's mean and zero in its units, ``[G]`` each."""
        manifest = self.artifact.manifest
        flat = np.full(len(ids), manifest.baseline, np.float32)
        lowest = np.full(len(ids), min(manifest.vvp_levels), np.float32)
        reachable = manifest.scale in CONVERSIONS and manifest.scale != "ln-counts"
        if self.virtual or data.expression is None or not reachable:
            return self.artifact, flat, lowest
        values = np.nan_to_num(data.expression)
        if manifest.scale == "z-score":
            deviation = values.std(0)
            zero = np.where(deviation > 1e-3, -values.mean(0) / np.maximum(deviation, 1e-3), lowest)
            return self.artifact, flat, np.clip(zero, lowest, -1.0).astype(np.float32)
        cells = Cells(DenseMatrix(values), False, list(data.genes), Groups.one(len(values)))
        mean = mean_profiles(cells, np.arange(len(ids)), manifest.scale)[""]
        shown = np.flatnonzero((mean > 0) & (ids >= 0))
        shown = shown[np.argsort(-mean[shown], kind="stable")][:MOST_CONTEXT]
        floor = 0.0 if manifest.scale in ("bins", "log2-cp10k") else 1e-6  # some units have no zero
        state = self.artifact.with_context(ids[shown], mean[shown])
        return state, np.maximum(mean, floor), np.full(len(ids), floor, np.float32)


def predictions(artifact: Artifact, settings: RuntimeSettings, sources: Ids, levels: Array, targets: Ids) -> Array:
    """M ``[S, K, Q]`` of targets ``[Q]`` in virtual cells with sources ``[S]`` at levels ``[S, K]``; vocabulary ids."""
    prober = Prober(artifact, settings, ("vvp",))
    width = prober.sources_at_once(len(targets))
    step = prober.targets_at_once(width)
    out = np.empty((*levels.shape, len(targets)), np.float32)
    for first in range(0, len(sources), width):
        rows = slice(first, first + width)
        for start in range(0, len(targets), step):
            asked = slice(start, start + step)
            grid = np.ascontiguousarray(levels[rows], np.float32)
            out[rows, :, asked] = prober.sessions[VALUE_GRAPH].run(
                artifact.context, artifact.context_values, sources[rows], grid, targets[asked]
            )[0]
    return out
