"""Pair lists: features and scores in memory, or scores in a file."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..arrays import Array, Codes
from ..artifact.folder import Artifact
from ..engine.probe import MOST_SOURCES, Features, Prober, plan_blocks
from ..errors import InputError
from ..files.outputs import OutputFormat
from ..files.pairs import PairBatches, write_pair_batches
from ..genes.pairs import ResolvedPairs
from ..progress import Progress
from ..translator.translator import EMB
from .file_run import RunRecord, finish_blocks
from .provenance import fingerprint
from .ranks import weight_column
from .result_table import ResultTable, result_table
from .store import Arrays, RunFolder

PAIRS, RESULTS = "pairs.h5", "results.f32"


@dataclass(frozen=True)
class ScoreSettings:
    """The content of a pair list's result.

    Attributes:
        prior: expected share of edges among the pairs; None keeps the training prevalence.
        features: also write the probe features.
        strict: refuse a pair list of which any pair would be rejected.
        format: a layout or a container by name (`ugrn.runtime.files.outputs`); the suffix says the rest.
        rank: merge the ranks by the probability with those by a numeric column of the list, and sort by the merged
            rank: a column's name, or True for the first of importance, weight and score.
    """

    prior: float | None = None
    features: bool = False
    strict: bool = False
    format: str = "ugrn"
    rank: bool | str = False


@dataclass(frozen=True)
class Summary:
    """The outcome of a run into a file; also written beside the result as JSON.

    Attributes:
        rejected: pairs by reason.
        names: the kinds of names that were matched, where they are not all symbols; else empty.
        renamed: result columns whose names the list has itself, and their names in the result.
        ranked_by: column of the list whose ranks were merged with those of the probability.
        resumed_blocks, started_over: see `RunFolder`.
    """

    output: Path
    rejects: Path | None
    read: int
    scored: int
    rejected: dict[str, int]
    names: str
    renamed: dict[str, str]
    ranked_by: str | None
    seconds: float
    resumed_blocks: int
    started_over: bool


class ScoreTask:
    """A pair list that is scored into a file; see `Task`.

    Args:
        prober: for all probes.
        resolved: the list, of which something is left to score.
        output: the result.
        asked: its content.
        to: its format.

    Raises:
        PairListError: the list has no column to rank by.
        InputError: the format cannot hold the columns.
    """

    def __init__(
        self, prober: Prober, resolved: ResolvedPairs, output: Path, asked: ScoreSettings, to: OutputFormat
    ) -> None:
        self.artifact, self.prober, self.resolved, self.asked = prober.artifact, prober, resolved, asked
        to.check_columns(resolved.pairs.extra.schema)
        self.all_columns = to.all_columns
        self.rank_by = weight_column(resolved, asked.rank)
        if self.rank_by is not None and not to.all_columns:
            message = f"{output}: written as asked it has no columns for ranks; write all columns, e.g. as .csv or .tsv"
            raise InputError(message)
        self.columns = _score_columns(prober, asked)

    def rejects(self) -> pl.DataFrame | None:
        return self.resolved.rejects(self.artifact.names) if self.resolved.counts() else None

    def finish(self, folder: RunFolder, progress: Progress) -> ResultTable:
        pairs, ids, decides = self.resolved.pairs, self.resolved.ids, [self.asked.prior, self.asked.features]
        codes = pairs.source, pairs.target, ids
        mark = fingerprint(self.artifact, self.prober.settings, decides, pairs.genes, codes)
        folder.start(mark, {PAIRS: partial(write_pair_batches, pairs, ids, self.resolved.sorted_rows)})
        batches = PairBatches(folder.path / PAIRS)
        blocks = list(plan_blocks(batches.indptr, MOST_SOURCES))
        finish_blocks(folder, [last for _, last in blocks], partial(self._compute, batches, blocks), progress)
        results = _spread(folder, len(blocks), (len(pairs), len(self.columns)))
        return result_table(self.resolved, results, self.columns, keep=self.all_columns, rank_by=self.rank_by)

    def summary(self, table: ResultTable, record: RunRecord) -> Summary:
        return Summary(
            **vars(record),
            read=len(self.resolved.pairs),
            scored=self.resolved.accepted,
            rejected=self.resolved.counts(),
            names=self.resolved.matches.note(),
            renamed={ours: name for ours, name in zip(self.columns, table.columns, strict=True) if ours != name},
            ranked_by=self.rank_by,
        )

    def metadata(self, summary: Summary) -> Mapping[str, Any]:
        return {
            "settings": asdict(self.asked) | asdict(self.prober.settings) | {"ran_on": self.prober.provider},
            "pairs": {"read": summary.read, "scored": summary.scored, "rejected": summary.rejected},
            "genes": self.resolved.matches.metadata(),
            "header_line": self.resolved.pairs.header,
            "columns": {"kept": self.resolved.pairs.extra.columns, "renamed": summary.renamed},
            "ranked_by": summary.ranked_by,
            "resumed_blocks": summary.resumed_blocks,
        }

    def _compute(
        self, batches: PairBatches, blocks: Sequence[tuple[int, int]], missing: Sequence[int]
    ) -> Generator[Arrays, None, None]:
        for index in missing:
            sources, targets, row = batches.block(*blocks[index])
            features = self.prober.features(sources, targets)
            yield {"row": row, "result": _scores(self.artifact, features, sources, targets, self.asked)}


def score_table(prober: Prober, resolved: ResolvedPairs, asked: ScoreSettings) -> ResultTable:
    """The scores of a pair list, in memory; see `Scorer.score`."""
    rank_by = weight_column(resolved, asked.rank)
    columns = _score_columns(prober, asked)
    sources, targets = resolved.gene_ids(resolved.accepted_rows())
    results = _scores(prober.artifact, prober.features_in_blocks(sources, targets), sources, targets, asked)
    return result_table(resolved, _by_row(resolved, results), columns, rank_by=rank_by)


def feature_table(prober: Prober, resolved: ResolvedPairs) -> ResultTable:
    """The probe features of a pair list, in memory; see `Scorer.features`."""
    features = prober.features_in_blocks(*resolved.gene_ids(resolved.accepted_rows()))
    results = _by_row(resolved, np.hstack(list(features.values())))
    return result_table(resolved, results, _feature_columns(prober), keep=False)


def _score_columns(prober: Prober, asked: ScoreSettings) -> list[str]:
    scores = ["probability", *(f"logit_{part}" for part in prober.artifact.translator.parts)]
    return scores + (_feature_columns(prober) if asked.features else [])


def _scores(artifact: Artifact, probed: Features, sources: Codes, targets: Codes, asked: ScoreSettings) -> Array:
    """Result columns ``[N, C]``, see `_score_columns`, of pairs ``[N]`` with these probe features."""
    translator = artifact.translator
    logits = translator.logits(probed)
    if translator.product is not None and artifact.embeddings is not None:
        logits[EMB] = translator.product.of_pairs(artifact.embeddings, sources, targets)
    scores = [translator.probabilities(logits, asked.prior), *(logits[part] for part in translator.parts)]
    return np.column_stack(scores + (list(probed.values()) if asked.features else []))


def _feature_columns(prober: Prober) -> list[str]:
    return [f"{probe}_{k + 1}" for probe, levels in prober.grid.rows.items() for k in range(len(levels))]


def _by_row(resolved: ResolvedPairs, results: Array) -> Array:
    """Results of the accepted pairs by row of the list, ``[N, C]``."""
    spread = np.empty((len(resolved.pairs), results.shape[1]), np.float32)
    spread[resolved.accepted_rows()] = results
    return spread


def _spread(folder: RunFolder, blocks: int, shape: tuple[int, int]) -> Array:
    """The results of all shards by row of the list, ``[N, C]``, on disk."""
    path = folder.path / RESULTS
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, not a crash in the middle
            os.posix_fallocate(file.fileno(), 0, 4 * shape[0] * shape[1])
    results = np.memmap(path, np.float32, "w+", shape=shape)
    for index in range(blocks):
        arrays = folder[index]
        results[arrays["row"]] = arrays["result"]
    return results
