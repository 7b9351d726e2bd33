"""Latency with the bundled artifact: pytest bench/speed/test_latency.py [--benchmark-json latency.json]

p50 and p95 in milliseconds are printed and stand in the JSON's ``extra_info``: pytest-benchmark has no p95 of its own.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from ugrn.runtime import Scorer, load

PROCESS_ROUNDS = 20
FIRST_PROBABILITY = """
from ugrn.runtime import load
print(load().score([("POU5F1", "NANOG")])["probability"][0])
"""
IMPORT = """
import time
started = time.perf_counter()
import ugrn.runtime
print(time.perf_counter() - started)
"""


def python(code: str) -> float:
    """The number that a new Python process prints."""
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def record(benchmark: Any, capsys: pytest.CaptureFixture[str], seconds: list[float] | None = None) -> None:
    """Percentiles of `seconds`, or of the benchmark's own rounds, into the JSON and onto the screen."""
    if seconds is None and benchmark.stats is not None:  # None with --benchmark-disable
        seconds = benchmark.stats.stats.data
    if not seconds:
        return
    p50, p95 = (float(each) * 1e3 for each in np.percentile(seconds, [50, 95]))
    benchmark.extra_info |= {"p50_ms": p50, "p95_ms": p95}
    with capsys.disabled():
        print(f"\n{benchmark.name}: p50 {p50:.2f} ms, p95 {p95:.2f} ms")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load()


def test_cold_start_to_first_probability(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    probability = benchmark.pedantic(python, [FIRST_PROBABILITY], rounds=PROCESS_ROUNDS, warmup_rounds=1)
    record(benchmark, capsys)
    assert 0 < probability < 1


def test_import_of_ugrn_runtime(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Percentiles of the import alone; the benchmark's own columns hold the whole process."""
    inside: list[float] = []
    benchmark.pedantic(lambda: inside.append(python(IMPORT)), rounds=PROCESS_ROUNDS, warmup_rounds=1)
    record(benchmark, capsys, inside[1:] or inside)


@pytest.mark.parametrize("count", [1, 100, 10_000])
def test_warm_pairs(benchmark: Any, capsys: pytest.CaptureFixture[str], scorer: Scorer, count: int) -> None:
    symbols = scorer.artifact.names.symbols
    pairs = [(symbols[row // 1000], symbols[100 + row % 1000]) for row in range(count)]
    frame = benchmark(scorer.score, pairs)
    record(benchmark, capsys)
    assert len(frame) == count
