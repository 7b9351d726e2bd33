"""A network in memory, or in a file: crash-safe, resumable, and read back block by block."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import polars as pl

from ..arrays import Array
from ..artifact.folder import Artifact
from ..engine.session import RuntimeSettings
from ..files.formats import OutputFormat
from ..files.results import write_results
from ..files.tables import CHUNK_ROWS, Batch
from ..genes.lists import NetworkGenes
from ..progress import Progress, silent
from .network import NetworkScorer, NetworkSettings
from .provenance import fingerprint, write_sidecar
from .store import RunFolder, write_rejects
from .strongest import BlockEdges, TargetCut, strongest


@dataclass(frozen=True)
class NetworkSummary:
    """What a file run did; also written next to the result as JSON.

    Attributes:
        rejected: names by list and reason.
        names: by list, what the names were matched as, where they are not all symbols.
        columns: of lists that are files of cells, where their genes' names were found.
        sources, targets: how many genes were used.
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
    """The edges of a network in the order of the sources, computed once and kept in memory or in a run's folder.

    Args:
        genes: the lists.
        scorer: for their used genes.
        folder: None keeps the edges in memory.
    """

    schema = pl.Schema({"probability": pl.Float32()})

    def __init__(self, genes: NetworkGenes, scorer: NetworkScorer, folder: RunFolder | None = None) -> None:
        self.scorer = scorer
        self.folder = folder
        self._blocks: list[BlockEdges | Path] = []
        self._edges = 0
        top_k, sources = scorer.asked.top_k, len(scorer.sources)
        by_target = scorer.asked.by == "target" and top_k is not None and top_k < sources
        self._cut = TargetCut(len(scorer.targets), top_k) if by_target and top_k is not None else None
        self._per_source = top_k if scorer.asked.by == "source" else None
        codes: dict[str, int] = {}
        self._source, self._target = (
            np.array([codes.setdefault(name, len(codes)) for name in each.used()[0]], np.int32)
            for each in (genes.sources, genes.targets)
        )
        self.genes: Sequence[str] = list(codes)

    def __len__(self) -> int:
        return self._edges if self._cut is None else len(self._cut)

    def finish_blocks(self, report: Progress) -> None:
        """Compute the blocks that are not in the folder yet; pairs done and in all are reported."""
        blocks, folder = self.scorer.blocks, self.folder
        wanted = [index for index in range(len(blocks)) if folder is None or not folder.finished(index)]
        asked = set(wanted)
        with closing(self.scorer.run(wanted, self._choose)) as found:
            for index, (_, last) in enumerate(blocks):
                if folder is None or index in asked:
                    self._keep(index, next(found))
                else:
                    self._resume(index, folder)
                report(last * len(self.scorer.targets), len(self.scorer.sources) * len(self.scorer.targets))

    def batches(self) -> Iterator[Batch]:
        parts = (_read_shard(block) if isinstance(block, Path) else block for block in self._blocks)
        for part in parts if self._cut is None else self._cut.finish(parts):
            for start in range(0, len(part), CHUNK_ROWS):
                rows = part.rows(slice(start, start + CHUNK_ROWS))
                columns = pl.DataFrame({"probability": rows.probability})
                yield self._source[rows.source], self._target[rows.target], columns

    def _choose(self, first: int, probabilities: Array) -> BlockEdges:
        """A worker's last step."""
        if self._cut is not None:
            self._cut.thin(probabilities)
        return strongest(probabilities, first, self._per_source)

    def _keep(self, index: int, edges: BlockEdges) -> None:
        if self._cut is not None:
            edges = self._cut.admit(edges)
        self._edges += len(edges)
        if self.folder is None:
            self._blocks.append(edges)
        else:
            self.folder.write(index, vars(edges))
            self._blocks.append(self.folder.shard(index))

    def _resume(self, index: int, folder: RunFolder) -> None:
        path = folder.shard(index)
        edges = _read_shard(path)
        if self._cut is not None:
            self._cut.add(edges)
        self._edges += len(edges)
        self._blocks.append(path)


def _read_shard(path: Path) -> BlockEdges:
    with h5py.File(path) as file:
        return BlockEdges(file["source"][:], file["target"][:], file["probability"][:])


def network_table(
    artifact: Artifact,
    settings: RuntimeSettings,
    genes: NetworkGenes,
    asked: NetworkSettings,
    report: Progress = silent,
) -> NetworkTable:
    """The edges of a network, in memory."""
    table = NetworkTable(genes, _scorer(artifact, settings, genes, asked))
    table.finish_blocks(report)
    return table


def write_network(
    artifact: Artifact,
    settings: RuntimeSettings,
    genes: NetworkGenes,
    output: Path,
    to: OutputFormat,
    asked: NetworkSettings,
    report: Progress,
) -> NetworkSummary:
    """Write the edges of a network into a file; see `Scorer.network_file`."""
    started = time.monotonic()
    scorer = _scorer(artifact, settings, genes, asked)
    rejects = write_rejects(genes.rejects(artifact.names), output)
    decides = [asdict(asked), scorer.blocks, scorer.tile]  # how a run is cut shows in the last bits
    lists = [each.used() for each in (genes.sources, genes.targets)]
    mark = fingerprint(
        artifact, settings, decides, [name for names, _ in lists for name in names], [i for _, i in lists]
    )
    folder = RunFolder(output, mark, {})
    table = NetworkTable(genes, scorer, folder)
    table.finish_blocks(report)
    write_results(table, output, to)
    summary = NetworkSummary(
        output=output,
        rejects=rejects,
        rejected=genes.counts(),
        names=genes.notes(),
        columns=genes.columns(),
        sources=len(scorer.sources),
        targets=len(scorer.targets),
        scored=genes.pairs,
        self_pairs=genes.self_pairs,
        written=len(table),
        seconds=round(time.monotonic() - started, 3),
        resumed_blocks=folder.resumed,
        started_over=folder.started_over,
    )
    chosen = asdict(asked) | asdict(settings) | {"ran_on": scorer.provider, "workers": scorer.workers}
    listed = {each.label: each.matches.metadata() for each in (genes.sources, genes.targets)}
    names = ("rejected", "columns", "sources", "targets", "scored", "self_pairs", "written", "resumed_blocks")
    counts = {name: getattr(summary, name) for name in names}
    write_sidecar(output, artifact, chosen, {"genes": listed, **counts}, summary.seconds)
    folder.remove()
    return summary


def _scorer(
    artifact: Artifact, settings: RuntimeSettings, genes: NetworkGenes, asked: NetworkSettings
) -> NetworkScorer:
    return NetworkScorer(artifact, settings, genes.sources.used()[1], genes.targets.used()[1], asked)
