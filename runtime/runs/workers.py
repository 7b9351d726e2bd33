"""Probabilities of every source with every target, in blocks of sources, on several threads.

A worker runs a block of sources through the graph, tile by tile of targets, and translates it source by source, so
that its data stay in its core's cache. The graph's session, BLAS and NumPy's loops let go of the
interpreter's lock, so the workers are threads, and each library in them keeps to one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import numpy as np
from threadpoolctl import threadpool_limits

from ..arrays import Array, Codes
from ..artifact.folder import Artifact
from ..engine.probe import LEAST_TARGETS, Prober
from ..engine.session import LEAST_BUDGET_MB, RuntimeSettings, memory_budget, processors
from ..errors import ArtifactError
from ..translator.translator import EMB
from .strongest import LEFT_OUT, BlockEdges


class NetworkScorer:
    """Computes probabilities of blocks of sources with all targets.

    Args:
        artifact: an opened artifact, with a translator.
        settings: provider, threads (0: one for each processor), memory budget (of all workers together).
        sources, targets: gene ids ``[S]`` and ``[Q]``, distinct within each.
        prior, min_probability: see `NetworkSettings`.

    Attributes:
        blocks: first and last-plus-one source of each block.
        tile: number of targets that a worker runs at once.
        provider: ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        artifact: Artifact,
        settings: RuntimeSettings,
        sources: Codes,
        targets: Codes,
        prior: float | None,
        min_probability: float,
    ) -> None:
        self.sources, self.targets = sources, targets
        self._prior, self._least = prior, np.float32(min_probability)
        self.artifact, self.translator = artifact, artifact.translator
        self.workers, self.prober = _workers(artifact, settings, len(targets))
        width, self.tile = self.prober.block_size(-(-len(sources) // self.workers), len(targets))
        self.blocks = [(first, min(first + width, len(sources))) for first in range(0, len(sources), width)]
        self._embeddings = artifact.embeddings if self.translator.product is not None else None
        self._right = None if self._embeddings is None else self._embeddings[targets].astype(np.float32)
        self._column = np.full(len(artifact.names), -1, np.int32)  # of each gene as a target
        self._column[targets] = np.arange(len(targets))
        self._stop = Event()
        self.provider = self.prober.provider  # opens the graph: a provider that is not there is told of at once

    def run(
        self, wanted: Sequence[int], choose: Callable[[int, Array], BlockEdges]
    ) -> Generator[BlockEdges, None, None]:
        """Blocks in the given order, a few ahead of the caller.

        Args:
            wanted: numbers of blocks.
            choose: a worker's last step: takes the place of a block's first source and its probabilities ``[S, Q]``.
        """
        pending: deque[Future[BlockEdges]] = deque()
        self._stop.clear()
        pool = ThreadPoolExecutor(self.workers)
        with threadpool_limits(1, user_api="blas"):
            try:
                for index in wanted:
                    first, last = self.blocks[index]
                    pending.append(pool.submit(lambda a, b: choose(a, self.probabilities(a, b)), first, last))
                    if len(pending) > self.workers:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:  # also where the caller stops early: nobody waits for more than one tile
                self._stop.set()
                pool.shutdown(cancel_futures=True)

    def probabilities(self, first: int, last: int) -> Array:
        """Probabilities ``[last - first, Q]`` of some sources; `LEFT_OUT` for self-pairs and weak edges."""
        sources = self.sources[first:last]
        out = np.empty((len(sources), len(self.targets)), np.float32)
        for start in range(0, len(self.targets), self.tile):
            if self._stop.is_set():
                raise CancelledError
            tile = slice(start, start + self.tile)
            self._translate(sources, tile, out[:, tile])
        if not np.isfinite(out).all():
            name = self.artifact.names.symbols[sources[int(np.flatnonzero(~np.isfinite(out).all(1))[0])]]
            message = (
                f"{self.artifact.folder}: gives no finite probability for source {name}; export the artifact again"
            )
            raise ArtifactError(message)
        columns = self._column[sources]
        rows = np.flatnonzero(columns >= 0)
        out[rows, columns[rows]] = LEFT_OUT
        if self._least > 0:
            out[out < self._least] = LEFT_OUT
        return out

    def _translate(self, sources: Codes, tile: slice, out: Array) -> None:
        """Fill in the probabilities ``[S, q]`` of some sources with a tile of the targets."""
        cells = self.prober.cells(sources, self.targets[tile])
        product = None
        if self.translator.product is not None and self._embeddings is not None and self._right is not None:
            left = self._embeddings[sources].astype(np.float32)
            product = self.translator.product.of_all(left, self._right[tile])  # [S, q]
        for row in range(len(sources)):
            features = self.prober.features_of_levels([part[row] for part in cells])
            logits = {probe: mlp.logits_by_feature(features[probe]) for probe, mlp in self.translator.mlps.items()}
            if product is not None:
                logits[EMB] = product[row]
            out[row] = self.translator.probabilities(logits, self._prior)


def _workers(artifact: Artifact, settings: RuntimeSettings, targets: int) -> tuple[int, Prober]:
    """The number of workers that the memory budget allows, and their prober; spare processors go to the graph."""
    threads = settings.threads or processors()
    budget_mb = memory_budget(settings) >> 20
    fit = Prober(artifact, settings).sources_in_memory(min(targets, LEAST_TARGETS))
    workers = max(1, min(threads, fit, budget_mb // LEAST_BUDGET_MB))
    share = replace(settings, threads=max(1, threads // workers), memory_mb=budget_mb // workers)
    return workers, Prober(artifact, share, keep_memory=True)
