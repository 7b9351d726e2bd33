"""Seconds and memory of scoring by size: a table of sizes, and how cost grows along each of them.

Growth is fitted as a + b n^p, so that what every run costs anyhow (a) does not hide the exponent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .settings import Bench, Rows
from .worker import measure

CONTEXTS, TARGETS = (256, 600, 1_200), (100, 1_000, 20_000)
SOURCES = {"mini": 64, "scgpt": 2}
TABLE_REPEATS = 3
REPEATS = 5
FLAT = 1.3  # where the largest size takes less than this times the smallest, a + b n^p has no certain p
EXPONENTS = np.arange(0.2, 3.001, 0.01)

# Per model and axis: what is held fixed, and the sizes. `pairs` is a random part of one grid.
AXES: dict[str, dict[str, tuple[dict[str, int], tuple[int, ...]]]] = {
    "mini": {
        "sources": ({"targets": 1_000}, (8, 16, 32, 64, 128)),
        "targets": ({"sources": 64}, (1_000, 2_500, 5_000, 10_000, 19_000)),
        "pairs": ({"sources": 128, "targets": 10_000}, (1_000, 10_000, 100_000, 300_000, 1_000_000)),
        "context": ({"sources": 32, "targets": 1_000}, (16, 64, 256, 512, 1_024)),
    },
    "scgpt": {
        "sources": ({"targets": 1_000, "context": 256}, (1, 2, 4, 8)),
        "targets": ({"sources": 1, "context": 256}, (1_000, 5_000, 10_000, 19_000)),
        "context": ({"sources": 1, "targets": 1_000}, (16, 64, 256, 512, 1_024)),
    },
}
QUICK_AXES = {
    "mini": {
        "sources": ({"targets": 50}, (2, 4, 8)),
        "targets": ({"sources": 4}, (50, 100, 200)),
        "pairs": ({"sources": 8, "targets": 100}, (50, 100, 400)),
    },
    "scgpt": {"context": ({"sources": 1, "targets": 50}, (4, 8, 16))},
}


def measure_throughput(bench: Bench) -> Rows:
    """One row per model, context size and number of targets; the bundled artifact's own context first."""
    quick = bench.sizes.quick
    contexts, targets = ((8, 16), (20, 50)) if quick else (CONTEXTS, TARGETS)
    sources = {"mini": 4, "scgpt": 2} if quick else SOURCES
    rows = []
    for model, own in (("mini", (None,)), ("scgpt", ())):
        for context in (*own, *contexts):
            for count in targets:
                bench.notify(f"throughput: {model}, context {context or 'its own'}, {count} targets")
                sizes = {"sources": sources[model], "targets": count, "context": context}
                rows.append({"model": model} | _measure(bench, model, sizes, 1 if quick else TABLE_REPEATS))
    return rows


def fit_growth(bench: Bench) -> Rows:
    """One row per model and axis, with its points and the fit."""
    return [
        _axis(bench, model, axis, fixed, sizes)
        for model, axes in (QUICK_AXES if bench.sizes.quick else AXES).items()
        for axis, (fixed, sizes) in axes.items()
    ]


def _axis(bench: Bench, model: str, axis: str, fixed: dict[str, int], sizes: tuple[int, ...]) -> dict[str, Any]:
    bench.notify(f"growth: {model} with {axis}")
    repeats = 1 if bench.sizes.quick else REPEATS
    points = [_measure(bench, model, fixed | {axis: size}, repeats) for size in sizes]
    found = np.array([point[axis] for point in points], float)  # the targets there were, not those asked for
    seconds = np.array([point["seconds"] for point in points])
    return {"model": model, "axis": axis, "fixed": fixed, "points": points} | fit(found, seconds)


def fit(sizes: np.ndarray, seconds: np.ndarray) -> dict[str, float]:
    """Seconds = a + b n^p with a, b >= 0, by least squares of the relative error over a grid of p.

    Returns:
        ``start`` a in s; ``factor`` b; ``exponent`` p; ``error``, the root mean square relative error; ``whole``, the
        slope of log seconds by log n, nothing subtracted; ``share``, that of b n^p in the largest size's time;
        ``flat``, whether time grows too little for p to mean anything.
    """
    best = min((_at(sizes, seconds, p) for p in EXPONENTS), key=lambda found: found["error"])
    whole = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
    grown = best["factor"] * float(sizes[-1]) ** best["exponent"]
    flat = bool(seconds.max() < FLAT * seconds.min())
    return best | {"whole": whole, "share": grown / (grown + best["start"]), "flat": flat}


def _at(sizes: np.ndarray, seconds: np.ndarray, exponent: float) -> dict[str, float]:
    """The fit with a given exponent; where one of a and b would be negative it is zero."""
    scaled = np.stack([1.0 / seconds, sizes**exponent / seconds], axis=1)
    options = [np.linalg.lstsq(scaled, np.ones(len(sizes)), rcond=None)[0]]
    options += [np.array([0.0, each]) for each in np.linalg.lstsq(scaled[:, 1:], np.ones(len(sizes)), rcond=None)[0]]
    options += [np.array([each, 0.0]) for each in np.linalg.lstsq(scaled[:, :1], np.ones(len(sizes)), rcond=None)[0]]
    errors = [float(np.sqrt(np.mean((scaled @ each - 1.0) ** 2))) if (each >= 0).all() else np.inf for each in options]
    place = int(np.argmin(errors))
    start, factor = (float(each) for each in options[place])
    return {"start": start, "factor": factor, "exponent": float(exponent), "error": errors[place]}


def _measure(bench: Bench, model: str, sizes: dict[str, Any], repeats: int) -> dict[str, Any]:
    artifact: Path | None = None if model == "mini" else bench.artifact("scgpt")
    return measure(artifact, repeats=repeats, provider=bench.provider, **sizes)
