"""Opening an artifact, and scoring pair lists and networks with it: in memory, or into files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .artifact.folder import Artifact
from .artifact.library import find_artifact
from .engine.probe import Features, Prober
from .engine.session import RuntimeSettings
from .engine.states import CellState
from .files.outputs import OutputFormat
from .files.pairs import PairsLike, read_pairs
from .files.tables import frame
from .genes.lists import GenesLike, NetworkGenes, read_network_genes
from .genes.pairs import ResolvedPairs, format_counts, resolve_pairs
from .progress import Progress, silent
from .runs.file_run import run_to_file
from .runs.network import By, NetworkSettings, NetworkSummary, NetworkTask, network_table
from .runs.score import ScoreSettings, ScoreTask, Summary, feature_table, score_table
from .translator.translator import PROBES


def load(artifact: Path | str | None = None, *, provider: str = "auto", threads: int = 0, memory_mb: int = 0) -> Scorer:
    """Open an artifact for scoring.

    Args:
        artifact: its folder, its name or a hub's ``owner/repository@commit`` (`ugrn.runtime.artifact.library`); the
            bundled one where None.
        provider: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; 0 leaves the choice to onnxruntime.
        memory_mb: budget for one run of the graph, in MiB; 0: 1,024 on the CPU, half of what is free on a GPU.

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
    """Scores pair lists and networks with one artifact; see `load`."""

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
        return frame(score_table(self._prober(PROBES), resolved, ScoreSettings(prior, features, rank=rank)))

    def features(self, pairs: PairsLike, *, probes: tuple[str, ...] = PROBES) -> pl.DataFrame:
        """Probe features of pairs: source, target, ``vvp_1`` … and ``gdt_1`` …, one column per level.

        Needs no translator. VVP alone (``probes=("vvp",)``) runs the graph without the tangent.
        """
        return frame(feature_table(self._prober(probes), self._usable(pairs)))

    def features_of_ids(
        self,
        sources: NDArray[np.integer[Any]],
        targets: NDArray[np.integer[Any]],
        progress: Progress = silent,
        probes: tuple[str, ...] = PROBES,
    ) -> Features:
        """Probe features of pairs given by gene ids ``[N]``, in their order; per probe ``[N, levels]``."""
        return self._prober(probes).features_in_blocks(sources, targets, progress)

    def in_state(self, state: CellState) -> Scorer:
        """A scorer of the same artifact whose virtual cell is in a cell state (`ugrn.runtime.engine.states`)."""
        ids = self.artifact.names.ids(state.genes).astype(np.int64)
        return Scorer(self.artifact.with_context(ids, state.values), self.settings)

    def resolve(self, pairs: PairsLike) -> ResolvedPairs:
        """Read pairs and look up their genes; ``.rejects(names)`` of the result lists what cannot be scored."""
        return resolve_pairs(read_pairs(pairs), self.artifact.names)

    def score_file(
        self,
        pairs: PairsLike,
        output: Path | str,
        settings: ScoreSettings = ScoreSettings(),  # noqa: B008 - frozen
        progress: Progress = silent,
    ) -> Summary:
        """Score pairs into a file, crash-safe and resumable.

        Args:
            pairs: as for `score`.
            output: by its suffix ``.csv``, ``.tsv``, ``.parquet``, ``.h5``, ``.graphml`` or ``.sif``, the text
                formats also ``.gz``. Beside it: ``<output>.json`` (settings, counts, hashes) and, where pairs were
                rejected, ``<output>.rejects.csv``.
            settings: the content of the result.
            progress: called with pairs done and pairs in all.

        Raises:
            InputError: output, format or prior cannot be used, or another run is writing the output.
            PairListError: the list cannot be read, nothing in it can be scored, or `strict` and rejects.
        """

        def prepare(to: OutputFormat) -> ScoreTask:
            prober = self._prober(PROBES)
            self.artifact.translator.check_prior(settings.prior)  # before the list is read
            resolved = self.resolve(pairs)
            resolved.require(self.artifact.names, settings.strict)
            return ScoreTask(prober, resolved, Path(output), settings, to)

        return run_to_file(prepare, Path(output), [pairs], settings.format, progress)

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
        genes = self._genes(sources, targets)
        for label, counts in genes.counts().items():
            warnings.warn(f"{sum(counts.values())} {label} were not used: {format_counts(counts)}", stacklevel=2)
        return frame(network_table(self.artifact, self.settings, genes, asked))

    def network_file(
        self,
        sources: GenesLike | None,
        targets: GenesLike | None,
        output: Path | str,
        settings: NetworkSettings = NetworkSettings(),  # noqa: B008 - frozen
        progress: Progress = silent,
    ) -> NetworkSummary:
        """Score every source with every target into a file, crash-safe and resumable.

        Args:
            sources, targets: as for `network`.
            output: as for `score_file`; the rejects are of names.
            settings: the edges that are written.
            progress: called with pairs done and pairs in all.

        Raises:
            InputError: the output cannot be written, or another run is writing it.
            GeneListError: as for `network`, or `strict` and rejects.
            ArtifactError: the artifact has no translator.
        """

        def prepare(_: OutputFormat) -> NetworkTask:
            genes = self._genes(sources, targets, settings.strict)
            return NetworkTask(self.artifact, self.settings, genes, settings)

        return run_to_file(prepare, Path(output), [sources, targets], settings.format, progress)

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

    def _genes(self, sources: GenesLike | None, targets: GenesLike | None, strict: bool = False) -> NetworkGenes:
        genes = read_network_genes(sources, targets, self.artifact.names)
        genes.require(self.artifact.names, strict)
        return genes
