"""From pairs to probe features, source by source and never pair by pair.

Pairs are grouped by source; a block of sources runs through the graph at once with the union of its targets,
and the features of the asked pairs are picked out. VVP and GDT share one pass: the gradient graph also gives
the value, and the baseline is one more level. Where many levels need no gradient, they take the graph without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array, Codes, Ids
from ..artifact.folder import Artifact
from ..errors import DeviceMemoryError, InputError
from ..files.pairs import source_bounds
from ..progress import Progress, silent
from ..translator.translator import PROBES
from .grid import level_grid
from .session import GraphSession, RuntimeSettings, memory_budget

MOST_SOURCES = 64
MOST_PAIRS = 1 << 18
LEAST_TARGETS = 1024
CACHE = 48 << 20  # bytes of contexts, by the estimate below; measured (bench/NOTES.md)

Features = dict[str, Array]


class Prober:
    """Computes probe features with one artifact.

    Args:
        artifact: an opened artifact.
        settings: provider, threads, memory budget.
        probes: one or both of ``vvp`` and ``gdt``; VVP alone runs the cheaper graph without the tangent.
        keep_memory: see `GraphSession`.

    Raises:
        InputError: a probe is not known.
    """

    def __init__(
        self,
        artifact: Artifact,
        settings: RuntimeSettings,
        probes: tuple[str, ...] = PROBES,
        keep_memory: bool = False,
    ) -> None:
        if not probes or not set(probes) <= set(PROBES):
            message = f"probes {list(probes)} are not known; expected one or both of {list(PROBES)}"
            raise InputError(message)
        self.artifact = artifact
        self.settings = settings
        self.probes = probes
        self.grid = level_grid(artifact, probes)
        self._keep_memory = keep_memory
        self._budget = memory_budget(settings)

    @cached_property
    def sessions(self) -> dict[str, GraphSession]:
        """The graphs of `Grid.graphs`, opened when they are first needed.

        Raises:
            ProviderError: CUDA was asked for and cannot be had.
        """
        folder = self.artifact.folder
        return {graph: GraphSession(folder / graph, self.settings, self._keep_memory) for graph in self.grid.graphs}

    @property
    def provider(self) -> str:
        """The device that the graphs run on, ``cpu`` or ``cuda``; they are opened for it."""
        return next(iter(self.sessions.values())).provider

    def features_in_blocks(
        self, sources: NDArray[np.integer[Any]], targets: NDArray[np.integer[Any]], progress: Progress = silent
    ) -> Features:
        """Features of pairs ``[N]`` as in `features`, block by block of sources; pairs done and in all are reported."""
        order = np.lexsort((targets, sources))
        source, target = sources[order].astype(np.int32), targets[order].astype(np.int32)
        out = {probe: np.empty((len(order), len(rows)), np.float32) for probe, rows in self.grid.rows.items()}
        for first, last in plan_blocks(source_bounds(source), MOST_SOURCES):
            for probe, part in self.features(source[first:last], target[first:last]).items():
                out[probe][order[first:last]] = part
            progress(last, len(order))
        return out

    def features(self, sources: Codes, targets: Codes) -> Features:
        """Features of pairs given by gene ids ``[N]``; per probe float32 ``[N, number of levels]``.

        VVP: value at each level minus value at the baseline. GDT: gradient at each level.
        """
        out = {probe: np.empty((len(sources), len(rows)), np.float32) for probe, rows in self.grid.rows.items()}
        asked_sources, source_row = np.unique(sources, return_inverse=True)
        asked_targets, target_row = np.unique(targets, return_inverse=True)
        width, step = self.block_size(len(asked_sources), len(asked_targets))
        for first in range(0, len(asked_sources), width):
            in_block = (source_row >= first) & (source_row < first + width)
            for start in range(0, len(asked_targets), step):
                rows = np.flatnonzero(in_block & (target_row >= start) & (target_row < start + step))
                if len(rows):
                    block = slice(first, first + width), slice(start, start + step)
                    cells = self.cells(asked_sources[block[0]], asked_targets[block[1]])
                    source, target = source_row[rows] - first, target_row[rows] - start
                    of_pairs = self.features_of_levels([part[source, :, target].T for part in cells])
                    for probe, values in of_pairs.items():
                        out[probe][rows] = values.T
        return out

    def features_of_levels(self, levels: list[Array]) -> Features:
        """Features of n pairs, per probe ``[number of levels, n]``, from `cells` of theirs, ``[K, n]``."""
        out = {}
        if "vvp" in self.grid.rows:
            out["vvp"] = levels[0][self.grid.rows["vvp"]]
            out["vvp"] -= levels[0][self.grid.baseline]
        if "gdt" in self.grid.rows:
            out["gdt"] = levels[1][self.grid.rows["gdt"]]
        return out

    def cells(self, sources: Codes, targets: Codes) -> list[Array]:
        """Value ``[S, K, Q]`` and, where a probe needs it, gradient ``[S, T, Q]`` of sources ``[S]``, targets ``[Q]``.

        The gradient is that of the first T levels; see `Grid`. The levels of a graph go through it at once, or in
        parts where the memory budget asks for it. Sources and targets are the caller's to cut; see `block_size`. Where
        memory runs out all the same, the budget is halved for good and the sources, or the targets, are run in halves.

        Raises:
            DeviceMemoryError: there is no memory for one source and one target.
        """
        try:
            return self._run(sources, targets)
        except DeviceMemoryError:
            if len(sources) == len(targets) == 1:
                raise
        self._budget //= 2
        if len(sources) > 1:
            parts = [self.cells(part, targets) for part in np.array_split(sources, 2)]
        else:
            parts = [self.cells(sources, part) for part in np.array_split(targets, 2)]
        return [np.concatenate(each, axis=0 if len(sources) > 1 else 2) for each in zip(*parts, strict=True)]

    def _run(self, sources: Codes, targets: Codes) -> list[Array]:
        outputs: list[list[Array]] = []
        for graph, part in self.grid.graphs.items():
            levels = self.grid.levels[part]
            most = int(np.clip(self._budget // (len(sources) * self._level_bytes(len(targets))), 1, len(levels)))
            for some in np.array_split(levels, -(-len(levels) // most)):  # of about equal size
                outputs.append(
                    self.sessions[graph].run(
                        self.artifact.context,
                        self.artifact.context_values,
                        sources.astype(np.int64),
                        np.tile(some, (len(sources), 1)),
                        targets.astype(np.int64),
                    )
                )
        if len(outputs) == 1:
            return outputs[0]
        both = zip_longest(*outputs)  # the gradient graph's runs come first
        return [np.concatenate([part for part in each if part is not None], axis=1) for each in both]

    def block_size(self, sources: int, targets: int) -> tuple[int, int]:
        """Numbers of sources and of targets of one run of the graph, out of these many, within the memory budget."""
        width = min(self.sources_at_once(targets), sources)
        return width, self.targets_at_once(width)

    def sources_at_once(self, targets: int) -> int:
        """The most sources that one run may hold within the memory budget, for a number of targets.

        All targets are wanted in one run: every further run would compute the contexts of its sources anew. On the
        CPU the contexts shall fit into its last cache.
        """
        in_cache = MOST_SOURCES if self.provider == "cuda" else max(1, CACHE // self._source_bytes(0))
        return min(self.sources_in_memory(targets), in_cache)

    def sources_in_memory(self, targets: int) -> int:
        """The same by the memory budget alone."""
        return int(np.clip(self._budget // self._source_bytes(targets), 1, MOST_SOURCES))

    def targets_at_once(self, sources: int) -> int:
        """The most targets that one run of `sources` may hold within the memory budget.

        Where the contexts alone fill it, level by level (see `cells`); where those of one level do, many: every
        run computes the contexts anew, and fewer targets would not save what is missing.
        """
        for level in (self._source_bytes, self._level_bytes):
            room = int((self._budget - sources * level(0)) // (sources * (level(1) - level(0))))
            if room > 0:
                return room
        return LEAST_TARGETS

    def _source_bytes(self, targets: int) -> int:
        """Estimated bytes of activations and results one source needs with `targets` targets."""
        return len(self.grid.levels) * self._level_bytes(targets)

    def _level_bytes(self, targets: int) -> int:
        """The same, for one of its levels."""
        shape, tokens = self.artifact.manifest.shape, 2 + len(self.artifact.context)
        token = 8 * shape.width + 2 * shape.feedforward
        context = tokens * token + 2 * shape.heads * tokens * tokens
        query = 4 if self.artifact.manifest.readout == "mvc" else token + 2 * shape.heads * (tokens + 1)
        query += 3 * shape.vocabulary
        if self.artifact.manifest.readout == "rank":  # every position asks for every gene
            context += tokens * (query + 3 * len(self.artifact.names.symbols))
            query = 4 * tokens
        if shape.features:  # linear attention over a whole genome: the features of its keys and queries
            context += shape.tokens * (token + 6 * shape.heads * shape.features)
            query = token + 6 * shape.heads * shape.features
        streams = 2 if "gdt" in self.probes else 1
        return 4 * streams * (context + targets * query)


def plan_blocks(indptr: Ids, most_sources: int, most_pairs: int = MOST_PAIRS) -> Iterator[tuple[int, int]]:
    """Cut pairs that are sorted by source into blocks of whole sources.

    Args:
        indptr: ``[S + 1]``, pairs of source s are ``indptr[s]:indptr[s + 1]``.
        most_sources: of a block.
        most_pairs: of a block, unless one source alone has more.

    Yields:
        First and last-plus-one pair of each block.
    """
    first = 0
    for source in range(1, len(indptr)):
        last = source == len(indptr) - 1
        full = source - first >= most_sources
        if last or full or indptr[source + 1] - indptr[first] > most_pairs:
            yield int(indptr[first]), int(indptr[source])
            first = source
