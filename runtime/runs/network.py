"""Networks of every source with every target: in memory, or in a file."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from ..arrays import Array
from ..artifact.folder import Artifact
from ..engine.session import RuntimeSettings
from ..errors import InputError
from ..files.tables import CHUNK_ROWS, Batch
from ..genes.lists import NetworkGenes
from ..progress import Progress, silent
from ..translator.translator import Translator
from .file_run import RunRecord, finish_blocks
from .provenance import fingerprint
from .store import Arrays, RunFolder, Shards
from .strongest import BlockEdges, TargetCut, strongest
from .workers import NetworkScorer

By = Literal["source", "target"]


@dataclass(frozen=True)
class NetworkSettings:
    """The edges of a network that are kept.

    Attributes:
        top_k: number of edges of each source or target that are kept, the strongest; None keeps all. Of equally
            strong ones the first in their list are kept.
        by: `top_k` counts per ``source`` or per ``target``.
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


@dataclass(frozen=True)
class NetworkSummary:
    """The outcome of a run into a file; also written beside the result as JSON.

    Attributes:
        rejected: names by list and reason.
        names: by list, the kinds of names that were matched, where they are not all symbols.
        columns: of lists that are files of cells, the column that holds their genes' names.
        sources, targets: number of genes that were used.
        scored: pairs; `self_pairs` were left out.
        written: edges of the result.
        started_over: see `RunFolder`.
    """

    output: Path
    rejects: Path | None
    rejected: dict[str, dict[str, int]]
    names: dict[str, str]
    columns: dict[str, str]
    sources: int
    targets: int
    scored: int
    self_pairs: int
    written: int
    seconds: float
    resumed_blocks: int
    started_over: bool


class NetworkTable:
    """The edges of a network in the order of the sources, read from its shards.

    Args:
        names: of the sources and of the targets, as they are written.
        shards: of the blocks, with the arrays of `BlockEdges`.
        blocks: number of blocks.
        edges: number of edges.
        cut: cuts them to the strongest sources of each target; None: they are cut already.
    """

    schema = pl.Schema({"probability": pl.Float32()})

    def __init__(
        self, names: Iterable[list[str]], shards: Shards, blocks: int, edges: int, cut: TargetCut | None
    ) -> None:
        self._shards, self._blocks, self._edges, self._cut = shards, blocks, edges, cut
        codes: dict[str, int] = {}
        self._source, self._target = (
            np.array([codes.setdefault(name, len(codes)) for name in listed], np.int32) for listed in names
        )
        self.genes: Sequence[str] = list(codes)

    def __len__(self) -> int:
        return self._edges

    def batches(self) -> Iterator[Batch]:
        parts = (BlockEdges(**self._shards[index]) for index in range(self._blocks))
        for part in parts if self._cut is None else self._cut.finish(parts):
            for start in range(0, len(part), CHUNK_ROWS):
                rows = part.rows(slice(start, start + CHUNK_ROWS))
                columns = pl.DataFrame({"probability": rows.probability})
                yield self._source[rows.source], self._target[rows.target], columns


class NetworkTask:
    """A network, computed once; see `Task`.

    Args:
        artifact: an opened artifact, with a translator.
        runtime: settings of the graph's runs.
        genes: the lists, of which something is left to score.
        asked: the edges that are kept.
    """

    def __init__(
        self, artifact: Artifact, runtime: RuntimeSettings, genes: NetworkGenes, asked: NetworkSettings
    ) -> None:
        self.artifact, self.runtime, self.genes, self.asked = artifact, runtime, genes, asked
        self._names, (sources, targets) = zip(*(each.used() for each in (genes.sources, genes.targets)), strict=True)
        self._scorer = NetworkScorer(artifact, runtime, sources, targets, asked.prior, asked.min_probability)
        self._edges = 0
        self._per_source = asked.top_k if asked.by == "source" else None
        self._cut: TargetCut | None = None
        if asked.by == "target" and asked.top_k is not None and asked.top_k < len(sources):
            self._cut = TargetCut(len(targets), asked.top_k)

    def rejects(self) -> pl.DataFrame | None:
        return self.genes.rejects(self.artifact.names)

    def finish(self, folder: RunFolder, progress: Progress) -> NetworkTable:
        decides = [asdict(self.asked), self._scorer.blocks, self._scorer.tile]  # the cut shows in the last bits
        ids = self._scorer.sources, self._scorer.targets
        folder.start(fingerprint(self.artifact, self.runtime, decides, chain(*self._names), ids), {})
        return self.compute(folder, progress)

    def compute(self, shards: Shards, progress: Progress) -> NetworkTable:
        """The network, of shards and of the blocks that have none yet."""
        targets, blocks = len(self._scorer.targets), self._scorer.blocks
        finish_blocks(shards, [last * targets for _, last in blocks], self._run, progress, self._resume)
        edges = self._edges if self._cut is None else len(self._cut)
        return NetworkTable(self._names, shards, len(blocks), edges, self._cut)

    def summary(self, table: NetworkTable, record: RunRecord) -> NetworkSummary:
        return NetworkSummary(
            **vars(record),
            rejected=self.genes.counts(),
            names=self.genes.notes(),
            columns=self.genes.columns(),
            sources=len(self._scorer.sources),
            targets=len(self._scorer.targets),
            scored=self.genes.pairs,
            self_pairs=self.genes.self_pairs,
            written=len(table),
        )

    def metadata(self, summary: NetworkSummary) -> Mapping[str, Any]:
        ran = {"ran_on": self._scorer.provider, "workers": self._scorer.workers}
        settings = asdict(self.asked) | asdict(self.runtime) | ran
        listed = {each.label: each.matches.metadata() for each in (self.genes.sources, self.genes.targets)}
        names = ("rejected", "columns", "sources", "targets", "scored", "self_pairs", "written", "resumed_blocks")
        return {"settings": settings, "genes": listed, **{name: getattr(summary, name) for name in names}}

    def _run(self, missing: Sequence[int]) -> Generator[Arrays, None, None]:
        with closing(self._scorer.run(missing, self._choose)) as computed:
            for edges in computed:
                yield vars(self._admit(edges))

    def _choose(self, first: int, probabilities: Array) -> BlockEdges:
        """A worker's last step."""
        if self._cut is not None:
            self._cut.thin(probabilities)
        return strongest(probabilities, first, self._per_source)

    def _resume(self, arrays: Arrays) -> None:
        self._admit(BlockEdges(**arrays))

    def _admit(self, edges: BlockEdges) -> BlockEdges:
        admitted = edges if self._cut is None else self._cut.admit(edges)
        self._edges += len(admitted)
        return admitted


def network_table(
    artifact: Artifact,
    runtime: RuntimeSettings,
    genes: NetworkGenes,
    asked: NetworkSettings,
    progress: Progress = silent,
) -> NetworkTable:
    """The edges of a network, in memory."""
    return NetworkTask(artifact, runtime, genes, asked).compute({}, progress)
