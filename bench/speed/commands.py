"""Wall time and resident memory of the ``ugrn`` commands with the bundled artifact, each in a process of its own."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np

from ugrn.runtime import bundled_artifact, open_artifact

from .settings import Bench, Rows
from .timing import timed_command

SCORED = ((10, 100), (100, 1_000), (1_000, 1_000))  # sources, targets of each
NETWORK = (1_600, 19_000)
RUNS = 3


def time_commands(bench: Bench) -> Rows:
    """One row per command: ``ugrn score`` by median of three runs, ``ugrn network`` run once."""
    symbols = np.array(open_artifact(bundled_artifact()).names.symbols)
    quick = bench.sizes.quick
    rows = [_score(bench, symbols, *sizes, 1 if quick else RUNS) for sizes in (((2, 20),) if quick else SCORED)]
    rows.append(_network(bench, symbols, *((5, 50) if quick else NETWORK)))
    if bench.full and not quick:
        rows.append(_timed(bench, "network, every gene x every gene, --top-k 100", ["network", "--top-k", "100"], 1))
        rows[-1] |= {"sources": len(symbols), "pairs": len(symbols) * (len(symbols) - 1)}
        rows[-1]["pairs_per_s"] = rows[-1]["pairs"] / rows[-1]["seconds"]
    return rows


def _score(bench: Bench, symbols: np.ndarray, sources: int, targets: int, runs: int) -> dict[str, Any]:
    pairs = bench.folder / "pairs.csv"
    _write_pairs(pairs, symbols, sources, targets)
    row = _timed(bench, "score", ["score", str(pairs)], runs, "edges.csv")
    count = sources * targets
    return row | {"sources": sources, "pairs": count, "pairs_per_s": count / row["seconds"]}


def _network(bench: Bench, symbols: np.ndarray, sources: int, targets: int) -> dict[str, Any]:
    targets = min(targets, len(symbols))
    chosen = np.random.default_rng(0).permutation(symbols)
    lists = {"sources": chosen[:sources], "targets": chosen[:targets]}
    arguments = ["network"]
    for name, genes in lists.items():
        path = bench.folder / f"{name}.txt"
        path.write_text("".join(f"{gene}\n" for gene in genes))
        arguments += [f"--{name}", str(path)]
    row = _timed(bench, f"network, {sources:,} x {targets:,}", arguments, 1)
    count = sources * targets - sources  # without self-pairs: the sources are among the targets
    return row | {"sources": sources, "pairs": count, "pairs_per_s": count / row["seconds"]}


def _timed(bench: Bench, name: str, arguments: list[str], runs: int, output: str = "net.parquet") -> dict[str, Any]:
    bench.notify(f"commands: {name}")
    path = bench.folder / output
    found = [timed_command([*arguments, "-o", str(path), "--provider", bench.provider]) for _ in range(runs)]
    seconds, mebibytes = zip(*found, strict=True)
    row = {"command": name, "seconds": statistics.median(seconds), "runs": runs, "rss_mib": max(mebibytes)}
    row["written_mb"] = path.stat().st_size / 1e6
    path.unlink()
    return row


def _write_pairs(path: Path, symbols: np.ndarray, sources: int, targets: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for source in rng.permutation(symbols)[:sources]:
            for target in rng.permutation(symbols[symbols != source])[:targets]:
                file.write(f"{source},{target}\n")
