"""Scoring pair lists: in memory for a few lines of Python, or to a file in crash-safe shards.

A file run keeps a folder ``<output>.run`` with the pair batches and one HDF5 shard per block. A shard is
written to a temporary file, synced and renamed, because an HDF5 file killed while open is usually unreadable.
A run that was killed resumes at the first missing shard and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from .artifact import Artifact, open_artifact
from .errors import PairListError
from .formats import ResultTable, check_output, replace_with, write_results
from .pairs import (
    PairsLike,
    ResolvedPairs,
    read_pairs,
    resolve_pairs,
    source_bounds,
    write_pair_batches,
)
from .probe import MOST_SOURCES, Features, Prober, plan_blocks
from .session import RuntimeSettings, import_onnxruntime
from .translator import PROBES

Report = Callable[[int, int], None]
SCORES = ["probability", "logit_vvp", "logit_gdt"]


@dataclass(frozen=True)
class ScoreSettings:
    """What a run writes.

    Attributes:
        prior: expected share of edges among the pairs; None keeps the training prevalence.
        features: also write the probe features.
        strict: refuse a pair list of which any pair would be rejected.
    """

    prior: float | None = None
    features: bool = False
    strict: bool = False


@dataclass(frozen=True)
class Summary:
    """What a file run did; also written next to the result as JSON."""

    output: Path
    rejects: Path | None
    read: int
    scored: int
    rejected: dict[str, int]
    seconds: float
    resumed_blocks: int


def bundled_artifact() -> Path:
    """Folder of the artifact that ships with the package."""
    return Path(str(files("ugrn.artifacts"))) / "mini"


def load(
    artifact: Path | str | None = None, *, provider: str = "auto", threads: int = 0, memory_mb: int = 256
) -> Scorer:
    """Open an artifact for scoring.

    Args:
        artifact: its folder; the bundled one where None.
        provider: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; 0 leaves the choice to onnxruntime.
        memory_mb: budget for one block, in MiB.

    Raises:
        ArtifactError: the folder is no artifact, or damaged.
        ProviderError: the provider cannot be had.

    Example:
        >>> from ugrn.runtime import load
        >>> load().score([("POU5F1", "NANOG"), ("GATA1", "KLF1")])
    """
    settings = RuntimeSettings(provider, threads, memory_mb)  # type: ignore[arg-type]
    return Scorer(open_artifact(bundled_artifact() if artifact is None else artifact), settings)


class Scorer:
    """Scores pair lists with one artifact; see `load`."""

    def __init__(self, artifact: Artifact, settings: RuntimeSettings) -> None:
        self.artifact = artifact
        self.settings = settings
        self._probers: dict[tuple[str, ...], Prober] = {}

    def score(self, pairs: PairsLike, *, prior: float | None = None, features: bool = False) -> pl.DataFrame:
        """Score pairs in memory.

        Args:
            pairs: (source, target) tuples, a data frame, or the path of a pair list.
            prior: expected share of edges among the pairs; None keeps the training prevalence.
            features: add the probe features.

        Returns:
            Columns source, target, probability, logit_vvp, logit_gdt (and features), in the given order.
            Pairs that cannot be scored are left out, with a warning that counts them by reason.

        Raises:
            PairListError: none of the pairs can be scored.
            ArtifactError: the artifact has no translator.
        """
        resolved = self.resolve(pairs)
        columns = self._columns(features)
        return self._collect(resolved, columns, lambda s, t: self._score_block(s, t, prior, features))

    def features(self, pairs: PairsLike, *, probes: tuple[str, ...] = PROBES) -> pl.DataFrame:
        """Probe features of pairs: source, target, ``vvp_1`` … and ``gdt_1`` …, one column per level.

        Needs no translator. VVP alone (``probes=("vvp",)``) runs the graph without the tangent.
        """
        resolved = self.resolve(pairs)
        prober = self._prober(probes)
        return self._collect(
            resolved, self._feature_columns(probes), lambda s, t: _stack(prober.features(s, t), probes)
        )

    def features_of_ids(
        self,
        sources: NDArray[np.int64],
        targets: NDArray[np.int64],
        report: Report = lambda done, total: None,
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

    def resolve(self, pairs: PairsLike) -> ResolvedPairs:
        """Read pairs and look up their genes; ``.rejects(names)`` of the result lists what cannot be scored."""
        return resolve_pairs(read_pairs(pairs), self.artifact.names)

    def score_file(
        self,
        pairs: PairsLike,
        output: Path | str,
        settings: ScoreSettings = ScoreSettings(),  # noqa: B008 - frozen
        report: Report = lambda done, total: None,
    ) -> Summary:
        """Score pairs into a file, crash-safe and resumable.

        Args:
            pairs: as for `score`.
            output: ``.csv``, ``.tsv``, ``.parquet`` or ``.h5``. Beside it: ``<output>.json`` (settings,
                counts, hashes) and, where pairs were rejected, ``<stem>.rejects.csv``.
            settings: what to write.
            report: called with pairs done and pairs in all.

        Raises:
            InputError: output or prior cannot be used.
            PairListError: the list cannot be read, nothing in it can be scored, or `strict` and rejects.
        """
        started = time.monotonic()
        output = Path(output)
        check_output(output)
        columns = self._columns(settings.features)
        self.artifact.translator.probabilities(dict.fromkeys(PROBES, np.zeros(1, np.float32)), settings.prior)
        resolved = self.resolve(pairs)
        self._refuse(resolved, settings.strict)
        rejects = _write_rejects(resolved, self.artifact, output)
        run = _Run(resolved, output, self._fingerprint(resolved, settings))
        run.finish_blocks(lambda s, t: self._score_block(s, t, settings.prior, settings.features), len(columns), report)
        write_results(run.table(columns), output)
        summary = Summary(
            output=output,
            rejects=rejects,
            read=len(resolved.pairs),
            scored=resolved.accepted,
            rejected=resolved.counts(),
            seconds=round(time.monotonic() - started, 3),
            resumed_blocks=run.resumed,
        )
        self._write_sidecar(resolved, settings, summary)
        run.remove()
        return summary

    def _prober(self, probes: tuple[str, ...]) -> Prober:
        if probes not in self._probers:
            self._probers[probes] = Prober(self.artifact, self.settings, probes)
        return self._probers[probes]

    def _feature_columns(self, probes: tuple[str, ...]) -> list[str]:
        manifest = self.artifact.manifest
        levels = {"vvp": manifest.vvp_levels, "gdt": manifest.gdt_levels}
        return [f"{probe}_{k + 1}" for probe in probes for k in range(len(levels[probe]))]

    def _columns(self, features: bool) -> list[str]:
        return SCORES + (self._feature_columns(PROBES) if features else [])

    def _score_block(
        self, sources: NDArray[np.int32], targets: NDArray[np.int32], prior: float | None, features: bool
    ) -> NDArray[np.float32]:
        """Result columns ``[n, columns]`` of pairs given by gene ids."""
        read = self._prober(PROBES).features(sources, targets)
        translator = self.artifact.translator
        logits = translator.logits(read)
        scores = [translator.probabilities(logits, prior), *(logits[probe] for probe in PROBES)]
        out = np.stack(scores, axis=1)
        return np.concatenate([out, _stack(read, PROBES)], axis=1) if features else out

    def _collect(
        self,
        resolved: ResolvedPairs,
        columns: list[str],
        block: Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]],
    ) -> pl.DataFrame:
        self._refuse(resolved, strict=False)
        if resolved.counts():
            message = f"{len(resolved.pairs) - resolved.accepted} of {len(resolved.pairs)} pairs were not scored: "
            warnings.warn(message + _say(resolved.counts()), stacklevel=3)
        results = np.empty((len(resolved.pairs), len(columns)), np.float32)
        rows = resolved.sorted_rows()
        source, target = _ids(resolved, rows)
        for first, last in plan_blocks(source_bounds(source), MOST_SOURCES):
            results[rows[first:last]] = block(source[first:last], target[first:last])
        return ResultTable(resolved.pairs, np.sort(rows), results, columns).frame()

    def _refuse(self, resolved: ResolvedPairs, strict: bool) -> None:
        total, counts = len(resolved.pairs), resolved.counts()
        if resolved.accepted and not (strict and counts):
            return
        unknown = resolved.unknown()
        near = [
            f"{name} (did you mean {' or '.join(found)}?)" if (found := self.artifact.names.near(name)) else name
            for name in unknown[:5]
        ]
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        named = f"; unknown genes: {', '.join(near)}{more}" if unknown else ""
        expected = "strict asks for none" if resolved.accepted else "none is left to score"
        message = (
            f"{total - resolved.accepted} of {total} pairs cannot be scored ({_say(counts)}){named}; {expected}: "
            "expected gene symbols, one source and one target per line"
        )
        raise PairListError(message)

    def _fingerprint(self, resolved: ResolvedPairs, settings: ScoreSettings) -> str:
        """Hash of all that decides the bytes of a run."""
        digest = hashlib.sha256()
        decides = [
            self.artifact.digest,
            _versions(),
            asdict(self.settings),
            settings.prior,
            settings.features,
        ]
        digest.update(json.dumps(decides, sort_keys=True).encode())
        digest.update("\n".join(resolved.pairs.genes).encode())
        for codes in (resolved.pairs.source, resolved.pairs.target):
            digest.update(codes.tobytes())
        return digest.hexdigest()

    def _write_sidecar(self, resolved: ResolvedPairs, settings: ScoreSettings, summary: Summary) -> None:
        facts = {
            "artifact": {"backbone": self.artifact.manifest.backbone, "sha256": self.artifact.digest},
            "versions": _versions(),
            "settings": asdict(settings) | asdict(self.settings) | {"ran_on": self._prober(PROBES).provider},
            "pairs": {"read": summary.read, "scored": summary.scored, "rejected": summary.rejected},
            "genes": {"distinct": len(resolved.pairs.genes), "unknown": len(resolved.unknown())},
            "header_line": resolved.pairs.header,
            "resumed_blocks": summary.resumed_blocks,
            "wall_seconds": summary.seconds,
        }
        path = summary.output.with_name(summary.output.name + ".json")
        replace_with(path, lambda part: part.write_text(json.dumps(facts, indent=2) + "\n"))


class _Run:
    """The folder of one file run: pair batches, and a shard for every finished block."""

    def __init__(self, resolved: ResolvedPairs, output: Path, fingerprint: str) -> None:
        self.resolved = resolved
        self.rows = resolved.sorted_rows()
        self.folder = output.with_name(output.name + ".run")
        self.resumed = 0
        mark = self.folder / "fingerprint"
        if not mark.is_file() or mark.read_text() != fingerprint:
            self.remove()
            self.folder.mkdir()
            write_pair_batches(resolved, self.rows, self.folder / "pairs.h5")
            replace_with(mark, lambda part: part.write_text(fingerprint))

    def finish_blocks(
        self,
        score: Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]],
        columns: int,
        report: Report,
    ) -> None:
        """Compute the blocks that have no shard yet."""
        source, target = _ids(self.resolved, self.rows)
        total = len(self.rows)
        for index, (first, last) in enumerate(plan_blocks(source_bounds(source), MOST_SOURCES)):
            shard = self._shard(index)
            if shard.is_file():
                self.resumed += 1
            else:
                result = score(source[first:last], target[first:last])
                rows = self.rows[first:last]
                replace_with(shard, lambda part, rows=rows, result=result: _write_shard(part, rows, result))  # type: ignore[misc]
            report(last, total)
        self.blocks = index + 1
        self.columns = columns

    def table(self, columns: list[str]) -> ResultTable:
        """All shards in the user's order, on disk."""
        shape = (len(self.resolved.pairs), self.columns)
        results = np.memmap(self.folder / "results.f32", np.float32, "w+", shape=shape)
        for index in range(self.blocks):
            with h5py.File(self._shard(index)) as file:
                results[file["row"][:]] = file["result"][:]
        return ResultTable(self.resolved.pairs, np.sort(self.rows), results, columns)

    def remove(self) -> None:
        """Delete the folder."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)

    def _shard(self, index: int) -> Path:
        return self.folder / f"part-{index:05d}.h5"


def _write_shard(path: Path, rows: NDArray[np.int32], result: NDArray[np.float32]) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("row", data=rows, fletcher32=True)
        file.create_dataset("result", data=result, fletcher32=True)
        file.flush()


def _write_rejects(resolved: ResolvedPairs, artifact: Artifact, output: Path) -> Path | None:
    path = output.with_name(output.stem + ".rejects.csv")
    if not resolved.counts():
        path.unlink(missing_ok=True)  # of an earlier run
        return None
    replace_with(path, lambda part: resolved.rejects(artifact.names).write_csv(part))
    return path


def _ids(resolved: ResolvedPairs, rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    pairs = resolved.pairs
    return resolved.ids[pairs.source[rows]], resolved.ids[pairs.target[rows]]


def _stack(features: Features, probes: tuple[str, ...]) -> NDArray[np.float32]:
    return np.concatenate([features[probe] for probe in probes], axis=1)


def _say(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in counts.items())


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("ugrn", "numpy", "h5py", "polars")}
    return packages | {"onnxruntime": str(import_onnxruntime().__version__)}
