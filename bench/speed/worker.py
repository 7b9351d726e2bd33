"""One configuration of scoring in a process of its own, so that its resident memory is its own.

    python worker.py '{"artifact": null, "context": 256, "sources": 8, "targets": 1000, "pairs": null, "repeats": 3,
                       "provider": "cpu"}'

prints one JSON object. `measure` starts it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ugrn.runtime import Artifact, Scorer, load


def measure(
    artifact: Path | None,
    sources: int,
    targets: int,
    *,
    repeats: int,
    provider: str,
    context: int | None = None,
    pairs: int | None = None,
) -> dict[str, Any]:
    """Median seconds of scoring `sources` x `targets` pairs, or a random part of them, from names to probabilities.

    Args:
        artifact: its folder; the bundled one where None.
        context: genes of the virtual cell; the artifact's own where None.
        pairs: how many of the pairs to score; all where None.
    """
    settings = {"artifact": artifact and str(artifact), "context": context, "sources": sources, "targets": targets}
    settings |= {"pairs": pairs, "repeats": repeats, "provider": provider}
    command = [sys.executable, "-m", "bench.speed.worker", json.dumps(settings)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def with_context(artifact: Artifact, count: int) -> Artifact:
    """The artifact with its last `count` genes as the context, at the baseline."""
    genes = len(artifact.names.symbols)
    ids = np.arange(genes - count, genes, dtype=np.int64)
    return artifact.with_context(ids, np.full(count, artifact.manifest.baseline, np.float32))


def peak_mib() -> float:
    """Largest resident memory of this process. ``ru_maxrss`` would start at that of the process it was forked from."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def _frame(scorer: Scorer, sources: int, targets: int, pairs: int | None) -> pl.DataFrame:
    """The pairs by name; sources and targets share no gene."""
    symbols = np.array(scorer.artifact.names.symbols)
    targets = min(targets, len(symbols) - sources)
    chosen = np.arange(sources * targets)
    if pairs is not None:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, pairs, replace=False))
    return pl.DataFrame({"source": symbols[chosen // targets], "target": symbols[sources + chosen % targets]})


def main() -> None:
    settings = json.loads(sys.argv[1])
    scorer = load(settings["artifact"], provider=settings["provider"])
    if settings["context"] is not None:
        scorer = Scorer(with_context(scorer.artifact, settings["context"]), scorer.settings)
    frame = _frame(scorer, settings["sources"], settings["targets"], settings["pairs"])
    scorer.score(frame.head(1))
    seconds = []
    for _ in range(settings["repeats"]):
        started = time.perf_counter()
        scored = scorer.score(frame)
        seconds.append(time.perf_counter() - started)
    wall = statistics.median(seconds)
    found = {
        "context": len(scorer.artifact.context),
        "sources": settings["sources"],
        "targets": frame["target"].n_unique(),
        "pairs": len(scored),
        "seconds": wall,
        "seconds_per_source": wall / settings["sources"],
        "pairs_per_s": len(scored) / wall,
        "rss_mib": peak_mib(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
