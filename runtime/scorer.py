"""Scoring pair lists: in memory for a few lines of Python, or to a file, crash-safe and resumable."""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .artifact.folder import Artifact
from .artifact.library import find_artifact
from .engine.probe import MOST_SOURCES, Features, Prober, plan_blocks
from .engine.session import RuntimeSettings
from .engine.states import CellState, in_state
from .errors import InputError
from .files.outputs import check_output
from .files.pairs import PairsLike, read_pairs, source_bounds
from .files.results import write_results
from .files.tables import frame
from .genes.lists import GenesLike, read_network_genes
from .genes.pairs import ResolvedPairs, format_counts, resolve_pairs
from .progress import Progress, silent
from .runs.network import By, NetworkSettings
from .runs.network_run import NetworkSummary, network_table, write_network
from .runs.provenance import fingerprint, write_sidecar
from .runs.ranks import weight_column
from .runs.result_table import result_table
from .runs.store import FileRun, ScoreSettings, Summary, write_rejects
from .translator.translator import EMB, PROBES


def load(artifact: Path | str | None = None, *, provider: str = "auto", threads: int = 0, memory_mb: int = 0) -> Scorer:
    """Open an artifact for scoring.

    Args:
        artifact: its folder, its name or a hub's ``owner/repository@commit`` (`ugrn.runtime.artifact.library`); the
            bundled one where None.
        provider: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; 0 leaves the choice to onnxruntime.
        memory_mb: budget for one run of the graph, in MiB; 0: 256 on the CPU, half of the free memory on a GPU.

    Raises:
        ArtifactError: there is no such artifact, or it is damaged or cannot be fetched.
        ProviderError: the provider cannot be had.

    Example:
        >>> from ugrn.runtime import load
        >>> load().score([("POU5F1", "NANOG"), ("GATA1", "KLF1")])
    """
    settings = RuntimeSettings(provider, threads, memory_mb)  # type: ignore[arg-type]
    return Scorer(find_artifact(artifact), settings)


class Scorer:
    """Scores pair lists with one artifact; see `load`."""

    def __init__(self, artifact: Artifact, settings: RuntimeSettings) -> None:
        self.artifact = artifact
        self.settings = settings
        self._probers: dict[tuple[str, ...], Prober] = {}

    def score(
        self, pairs: PairsLike, *, prior: float | None = None, features: bool = False, rank: bool | str = False
    ) -> pl.DataFrame:
        """Score pairs in memory.

        Args:
            pairs: (source, target) tuples, a polars or pandas data frame, or the path of a pair list.
            prior: expected share of edges among the pairs; None keeps the training prevalence.
            features: add the probe features.
            rank: see `ScoreSettings`.

        Returns:
            Columns source, target, the list's other columns, probability, logit_vvp, logit_gdt (logit_emb where the
            artifact's translator reads gene embeddings, features, and ranks), in the given order or that of the
            ranks. A result column gets the suffix ``_ugrn`` where the list has one of its name.
            Pairs that cannot be scored are left out, with a warning that counts them by reason.
            `to_pandas` turns it into a pandas data frame.

        Raises:
            PairListError: none of the pairs can be scored, or they cannot be ranked.
            ArtifactError: the artifact has no translator.
        """
        resolved = self._usable(pairs)
        rank_by = weight_column(resolved, rank)
        sources, targets = resolved.gene_ids(resolved.accepted_rows())
        results = self._results(self.features_of_ids(sources, targets), sources, targets, prior, features)
        return frame(result_table(resolved, _spread(resolved, results), self._columns(features), rank_by=rank_by))

    def features(self, pairs: PairsLike, *, probes: tuple[str, ...] = PROBES) -> pl.DataFrame:
        """Probe features of pairs: source, target, ``vvp_1`` … and ``gdt_1`` …, one column per level.

        Needs no translator. VVP alone (``probes=("vvp",)``) runs the graph without the tangent.
        """
        resolved = self._usable(pairs)
        sources, targets = resolved.gene_ids(resolved.accepted_rows())
        found = self.features_of_ids(sources, targets, probes=probes)
        results = _spread(resolved, _stack(found, probes))
        return frame(result_table(resolved, results, self._feature_columns(probes), keep=False))

    def features_of_ids(
        self,
        sources: NDArray[np.integer[Any]],
        targets: NDArray[np.integer[Any]],
        report: Progress = silent,
        probes: tuple[str, ...] = PROBES,
    ) -> Features:
        """Probe features of pairs given by gene ids ``[N]``, in their order; per probe ``[N, levels]``."""
        prober = self._prober(probes)
        order = np.lexsort((targets, sources))
        source, target = sources[order].astype(np.int32), targets[order].astype(np.int32)
        out = {probe: np.empty((len(order), len(rows)), np.float32) for probe, rows in prober.grid.rows.items()}
        for first, last in plan_blocks(source_bounds(source), MOST_SOURCES):
            for probe, part in prober.features(source[first:last], target[first:last]).items():
                out[probe][order[first:last]] = part
            report(last, len(order))
        return out

    def in_state(self, state: CellState) -> Scorer:
        """A scorer of the same artifact whose virtual cell is in a cell state (`ugrn.runtime.engine.states`)."""
        return Scorer(in_state(self.artifact, state), self.settings)

    def resolve(self, pairs: PairsLike) -> ResolvedPairs:
        """Read pairs and look up their genes; ``.rejects(names)`` of the result lists what cannot be scored."""
        return resolve_pairs(read_pairs(pairs), self.artifact.names)

    def score_file(
        self,
        pairs: PairsLike,
        output: Path | str,
        settings: ScoreSettings = ScoreSettings(),  # noqa: B008 - frozen
        report: Progress = silent,
    ) -> Summary:
        """Score pairs into a file, crash-safe and resumable.

        Args:
            pairs: as for `score`.
            output: by its suffix ``.csv``, ``.tsv``, ``.parquet``, ``.h5``, ``.graphml`` or ``.sif``, the text
                formats also ``.gz``. Beside it: ``<output>.json`` (settings, counts, hashes) and, where pairs were
                rejected, ``<output>.rejects.csv``.
            settings: what to write.
            report: called with pairs done and pairs in all.

        Raises:
            InputError: output, format or prior cannot be used.
            PairListError: the list cannot be read, nothing in it can be scored, or `strict` and rejects.
        """
        started = time.monotonic()
        output = Path(output)
        to = check_output(output, [pairs], settings.format)
        columns = self._columns(settings.features)
        prober = self._prober(PROBES)
        self.artifact.translator.check_prior(settings.prior)
        resolved = self.resolve(pairs)
        resolved.require(self.artifact.names, settings.strict)
        to.check_columns(resolved.pairs.extra.schema)
        rank_by = weight_column(resolved, settings.rank)
        if rank_by is not None and not to.all_columns:
            message = f"{output}: written as asked it has no columns for ranks; write all columns, e.g. as .csv or .tsv"
            raise InputError(message)
        rejects = write_rejects(resolved.rejects(self.artifact.names) if resolved.counts() else None, output)
        run = FileRun(resolved, output, self._fingerprint(resolved, settings))
        run.finish_blocks(
            lambda s, t: self._results(prober.features(s, t), s, t, settings.prior, settings.features), report
        )
        table = result_table(resolved, run.results(len(columns)), columns, keep=to.all_columns, rank_by=rank_by)
        write_results(table, output, to)
        summary = Summary(
            output=output,
            rejects=rejects,
            read=len(resolved.pairs),
            scored=resolved.accepted,
            rejected=resolved.counts(),
            names=resolved.matches.note(),
            renamed={ours: name for ours, name in zip(columns, table.columns, strict=True) if ours != name},
            ranked_by=rank_by,
            seconds=round(time.monotonic() - started, 3),
            resumed_blocks=run.folder.resumed,
            started_over=run.folder.started_over,
        )
        self._write_sidecar(resolved, settings, summary)
        run.folder.remove()
        return summary

    def network(
        self,
        sources: GenesLike | None = None,
        targets: GenesLike | None = None,
        *,
        top_k: int | None = None,
        by: By = "source",
        min_probability: float = 0.0,
        prior: float | None = None,
    ) -> pl.DataFrame:
        """Score every source with every target, in memory.

        Args:
            sources, targets: gene names, or a file with one per line (``-``: standard input) or of cells
                (``.h5ad``), whose genes are taken; every gene of the artifact where None.
            top_k, by, min_probability, prior: see `NetworkSettings`.

        Returns:
            Columns source, target, probability; in the order of the sources, and the strongest of each first.
            Names that cannot be used are left out, with a warning that counts them by reason.

        Raises:
            InputError: a setting is out of its range.
            GeneListError: a list cannot be read, or nothing is left to score.
            ArtifactError: the artifact has no translator.
        """
        asked = NetworkSettings(top_k, by, min_probability, prior)
        genes = read_network_genes(sources, targets, self.artifact.names)
        genes.require(self.artifact.names)
        for label, counts in genes.counts().items():
            warnings.warn(f"{sum(counts.values())} {label} were not used: {format_counts(counts)}", stacklevel=2)
        return frame(network_table(self.artifact, self.settings, genes, asked))

    def network_file(
        self,
        sources: GenesLike | None,
        targets: GenesLike | None,
        output: Path | str,
        settings: NetworkSettings = NetworkSettings(),  # noqa: B008 - frozen
        report: Progress = silent,
    ) -> NetworkSummary:
        """Score every source with every target into a file, crash-safe and resumable.

        Args:
            sources, targets: as for `network`.
            output: as for `score_file`; the rejects are of names.
            settings: which edges to write.
            report: called with pairs done and pairs in all.

        Raises:
            InputError: the output cannot be written.
            GeneListError: as for `network`, or `strict` and rejects.
            ArtifactError: the artifact has no translator.
        """
        output = Path(output)
        to = check_output(output, [sources, targets], settings.format)
        genes = read_network_genes(sources, targets, self.artifact.names)
        genes.require(self.artifact.names, settings.strict)
        return write_network(self.artifact, self.settings, genes, output, to, settings, report)

    def _prober(self, probes: tuple[str, ...]) -> Prober:
        if probes not in self._probers:
            self._probers[probes] = Prober(self.artifact, self.settings, probes)
            _ = self._probers[probes].sessions  # a provider that is not there is told of at once
        return self._probers[probes]

    def _usable(self, pairs: PairsLike) -> ResolvedPairs:
        """Resolved pairs, with a warning that counts those that cannot be scored."""
        resolved = self.resolve(pairs)
        resolved.require(self.artifact.names)
        if resolved.counts():
            left_out = len(resolved.pairs) - resolved.accepted
            message = f"{left_out} of {len(resolved.pairs)} pairs were not scored: {format_counts(resolved.counts())}"
            warnings.warn(message, stacklevel=3)
        return resolved

    def _feature_columns(self, probes: tuple[str, ...]) -> list[str]:
        manifest = self.artifact.manifest
        levels = {"vvp": manifest.vvp_levels, "gdt": manifest.gdt_levels}
        return [f"{probe}_{k + 1}" for probe in probes for k in range(len(levels[probe]))]

    def _columns(self, features: bool) -> list[str]:
        scores = ["probability", *(f"logit_{part}" for part in self.artifact.translator.parts)]
        return scores + (self._feature_columns(PROBES) if features else [])

    def _results(
        self,
        found: Features,
        sources: NDArray[np.integer[Any]],
        targets: NDArray[np.integer[Any]],
        prior: float | None,
        features: bool,
    ) -> NDArray[np.float32]:
        """Result columns ``[N, columns]`` of pairs with these features."""
        translator = self.artifact.translator
        logits = translator.logits(found)
        if translator.product is not None and self.artifact.embeddings is not None:
            logits[EMB] = translator.product.of_pairs(self.artifact.embeddings, sources, targets)
        scores = [translator.probabilities(logits, prior), *(logits[part] for part in translator.parts)]
        out = np.stack(scores, axis=1)
        return np.concatenate([out, _stack(found, PROBES)], axis=1) if features else out

    def _fingerprint(self, resolved: ResolvedPairs, settings: ScoreSettings) -> str:
        """Hash of all that decides the bytes of a run."""
        pairs = resolved.pairs
        asked = [settings.prior, settings.features]
        return fingerprint(self.artifact, self.settings, asked, pairs.genes, (pairs.source, pairs.target, resolved.ids))

    def _write_sidecar(self, resolved: ResolvedPairs, settings: ScoreSettings, summary: Summary) -> None:
        chosen = asdict(settings) | asdict(self.settings) | {"ran_on": self._prober(PROBES).provider}
        counts = {
            "pairs": {"read": summary.read, "scored": summary.scored, "rejected": summary.rejected},
            "genes": resolved.matches.metadata(),
            "header_line": resolved.pairs.header,
            "columns": {"kept": resolved.pairs.extra.columns, "renamed": summary.renamed},
            "ranked_by": summary.ranked_by,
            "resumed_blocks": summary.resumed_blocks,
        }
        write_sidecar(summary.output, self.artifact, chosen, counts, summary.seconds)


def _spread(resolved: ResolvedPairs, results: NDArray[np.float32]) -> NDArray[np.float32]:
    """Results of the accepted pairs by row of the list, ``[N, columns]``."""
    spread = np.empty((len(resolved.pairs), results.shape[1]), np.float32)
    spread[resolved.accepted_rows()] = results
    return spread


def _stack(features: Features, probes: tuple[str, ...]) -> NDArray[np.float32]:
    return np.concatenate([features[probe] for probe in probes], axis=1)
