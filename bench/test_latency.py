"""Warm latency of scoring in memory: pytest bench/test_latency.py"""

from __future__ import annotations

import pytest

from ugrn.runtime import Scorer, load


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load()


@pytest.mark.parametrize("count", [1, 100, 10_000])
def test_score(benchmark, scorer: Scorer, count: int) -> None:  # type: ignore[no-untyped-def]
    symbols = scorer.artifact.names.symbols
    pairs = [(symbols[row // 1000], symbols[100 + row % 1000]) for row in range(count)]
    frame = benchmark(scorer.score, pairs)
    assert len(frame) == count
