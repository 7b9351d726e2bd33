"""Every source with every target: probabilities of blocks of sources, on several threads.

A worker runs a block of sources through the graph, tile by tile of targets, and translates it source by source, so
that what it works on stays in its core's cache. The graph's session, BLAS and NumPy's loops let go of the
interpreter's lock, so the workers are threads, and each library in them keeps to one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from typing import Literal, get_args

import numpy as np
from threadpoolctl import threadpool_limits

from ..arrays import Array, Codes
from ..artifact.folder import Artifact
from ..engine.probe import LEAST_TARGETS, Prober
from ..engine.session import LEAST_BUDGET_MB, RuntimeSettings, memory_budget, processors
from ..errors import ArtifactError, InputError
from ..translator.translator import EMB, Translator
from .strongest import LEFT_OUT, BlockEdges

By = Literal["source", "target"]


@dataclass(frozen=True)
class NetworkSettings:
    """Which edges of a network are kept.

    Attributes:
        top_k: how many of each source or target, the strongest; None keeps all. Of equally strong ones the first in
            their list are kept.
        by: whether `top_k` counts per ``source`` or per ``target``.
        min_probability: weaker edges are left out, after the shift to `prior`.
        prior: expected share of edges among all pairs; None keeps the training prevalence.
        strict: refuse lists of which any gene would be rejected.
        format: as in `ScoreSettings`.

    Raises:
        InputError: a setting is out of its range.
    """

    top_k: int | None = None
    by: By = "source"
    min_probability: float = 0.0
    prior: float | None = None
    strict: bool = False
    format: str = "ugrn"

    def __post_init__(self) -> None:
        if self.by not in get_args(By) or (self.top_k is not None and self.top_k < 1):
            message = f"found top-k {self.top_k} by {self.by!r}; expected a number from 1, by source or target"
            raise InputError(message)
        if self.by == "target" and self.top_k is None:
            message = "by target says which edges top-k keeps, and there is no top-k; add --top-k (top_k in Python)"
            raise InputError(message)
        if not 0.0 <= self.min_probability <= 1.0:
            message = f"least probability {self.min_probability} found; expected a number from 0 to 1"
            raise InputError(message)
        Translator.check_prior(self.prior)


class NetworkScorer:
    """Computes probabilities of blocks of sources with all targets.

    Args:
        artifact: an opened artifact, with a translator.
        settings: provider, threads (0: one for each processor), memory budget (of all workers together).
        sources, targets: gene ids ``[S]`` and ``[Q]``, distinct within each.
        asked: prior and least probability.
    """

    def __init__(
        self, artifact: Artifact, settings: RuntimeSettings, sources: Codes, targets: Codes, asked: NetworkSettings
    ) -> None:
        self.sources, self.targets, self.asked = sources, targets, asked
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
            choose: what a worker makes of the place of a block's first source and its probabilities ``[S, Q]``.
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
        if self.asked.min_probability > 0:
            out[out < np.float32(self.asked.min_probability)] = LEFT_OUT
        return out

    def _translate(self, sources: Codes, tile: slice, out: Array) -> None:
        """Fill in the probabilities ``[S, q]`` of some sources with a tile of the targets."""
        cells = self.prober.cells(sources, self.targets[tile])
        product = None
        if self.translator.product is not None and self._embeddings is not None and self._right is not None:
            left = self._embeddings[sources].astype(np.float32)
            product = self.translator.product.of_all(left, self._right[tile])  # [S, q]
        for row in range(len(sources)):
            features = self.prober.features_of_all(cells, row)
            logits = {probe: mlp.logits_by_feature(features[probe]) for probe, mlp in self.translator.mlps.items()}
            if product is not None:
                logits[EMB] = product[row]
            out[row] = self.translator.probabilities(logits, self.asked.prior)


def _workers(artifact: Artifact, settings: RuntimeSettings, targets: int) -> tuple[int, Prober]:
    """How many workers fit into the memory budget, and what they probe with; spare processors go to the graph."""
    threads = settings.threads or processors()
    budget_mb = memory_budget(settings) >> 20
    fit = Prober(artifact, settings).sources_in_memory(min(targets, LEAST_TARGETS))
    workers = max(1, min(threads, fit, budget_mb // LEAST_BUDGET_MB))
    share = replace(settings, threads=max(1, threads // workers), memory_mb=budget_mb // workers)
    return workers, Prober(artifact, share, keep_memory=True)
