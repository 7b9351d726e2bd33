"""Networks against plain loops over pairs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ugrn.runtime import InputError, NetworkSettings, Scorer, load
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.engine.session import GraphSession
from ugrn.runtime.engine.states import CellState

RNG = np.random.default_rng(3)
SOURCES = [f"GENE{row}" for row in RNG.permutation(60)[:23]]
TARGETS = [f"GENE{row}" for row in RNG.permutation(60)[:41]]
Row = tuple[str, str, float]

pytestmark = pytest.mark.usefixtures("small_blocks")


def by_pairs(scorer: Scorer, sources: list[str], targets: list[str], prior: float | None = None) -> list[Row]:
    """One pair list, sorted by plain Python."""
    rows = scorer.score([(s, t) for s in sources for t in targets if s != t], prior=prior)
    found = rows.select("source", "target", "probability").rows()
    return sorted(found, key=lambda row: (sources.index(row[0]), -row[2], targets.index(row[1])))


def assert_same(found: pl.DataFrame, expected: list[Row]) -> None:
    """The same edges with nearly the same probabilities; in order, but for nearly equal ones."""
    assert found.columns == ["source", "target", "probability"]
    assert found["probability"].dtype == pl.Float32
    assert len(found) == len(expected)
    assert found["source"].to_list() == [row[0] for row in expected]
    np.testing.assert_allclose(found["probability"], [row[2] for row in expected], atol=2e-6)
    numbers = {row[:2]: row[2] for row in expected}
    np.testing.assert_allclose(
        found["probability"], [numbers[row] for row in found.select("source", "target").rows()], atol=2e-6
    )


@pytest.mark.parametrize("prior", [None, 0.02])
@pytest.mark.parametrize("kind", ["artifact", "joined"])
def test_every_source_with_every_target(kind: str, prior: float | None, request: pytest.FixtureRequest) -> None:
    scorer = load(request.getfixturevalue(kind))
    found = scorer.network(SOURCES, TARGETS, prior=prior)
    both = len(set(SOURCES) & set(TARGETS))
    assert 0 < both < len(SOURCES)
    assert len(found) == len(SOURCES) * len(TARGETS) - both
    assert_same(found, by_pairs(scorer, SOURCES, TARGETS, prior))


def test_lists_left_out_are_the_whole_vocabulary(artifact: Path) -> None:
    scorer = load(artifact)
    every = scorer.artifact.names.symbols
    assert_same(scorer.network(["GENE5"]), by_pairs(scorer, ["GENE5"], every))
    assert scorer.network(targets=["GENE5", "GENE6"])["source"].unique(maintain_order=True).to_list() == every


@pytest.mark.parametrize("kind", ["joined", "tied"])
@pytest.mark.parametrize("top_k", [1, 3, 22, 23, 500])
@pytest.mark.parametrize("by", ["source", "target"])
@pytest.mark.parametrize("least", [0.0, 0.55])
def test_the_strongest_edges(kind: str, top_k: int, by: str, least: float, request: pytest.FixtureRequest) -> None:
    scorer = load(request.getfixturevalue(kind))
    full = scorer.network(SOURCES, TARGETS).rows()
    assert (len({row[2] for row in full}) < 30) == (kind == "tied")
    kept = []
    for gene in SOURCES if by == "source" else TARGETS:
        mine = [row for row in full if row[by == "target"] == gene and row[2] >= np.float32(least)]
        other = TARGETS if by == "source" else SOURCES
        kept += sorted(mine, key=lambda row: (-row[2], other.index(row[by == "source"])))[:top_k]
    expected = sorted(kept, key=lambda row: (SOURCES.index(row[0]), -row[2], TARGETS.index(row[1])))
    found = scorer.network(SOURCES, TARGETS, top_k=top_k, by=by, min_probability=least)  # type: ignore[arg-type]
    assert found.rows() == expected


def test_the_least_probability_counts_after_the_prior(joined: Path) -> None:
    scorer = load(joined)
    full = scorer.network(SOURCES, TARGETS, prior=0.1)
    found = scorer.network(SOURCES, TARGETS, prior=0.1, min_probability=0.2)
    assert 0 < len(found) < len(full)
    assert found.rows() == [row for row in full.rows() if row[2] >= 0.2]


@pytest.mark.parametrize("memory", [256, 16])
def test_threads_do_not_matter(joined: Path, memory: int) -> None:
    one = load(joined, threads=1, memory_mb=memory).network(SOURCES, TARGETS)
    for threads in (2, 5):
        many = load(joined, threads=threads, memory_mb=memory).network(SOURCES, TARGETS)
        assert_same(many, one.rows())


@pytest.mark.slow
def test_tiles_of_targets_and_of_levels(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, squeeze: Callable[[Path, int, int], None]
) -> None:
    scorer = load(artifact, threads=2)
    expected = by_pairs(scorer, SOURCES, TARGETS)
    shapes: set[tuple[int, ...]] = set()
    levels: set[int] = set()
    cells, run = Prober.cells, GraphSession.run
    monkeypatch.setattr(Prober, "cells", lambda *a: shapes.add((len(a[1]), len(a[2]))) or cells(*a))
    monkeypatch.setattr(GraphSession, "run", lambda *a: levels.add(a[4].shape[1]) or run(*a))
    monkeypatch.setattr(Prober, "targets_at_once", lambda self, sources: 7)
    squeeze(artifact, 2, 7)
    assert_same(scorer.network(SOURCES, TARGETS), expected)
    assert shapes == {(1, 7), (1, len(TARGETS) % 7)}  # whole tiles and a rest
    assert max(levels) == 2


def test_a_cell_state_has_its_own_network(joined: Path) -> None:
    scorer = load(joined).in_state(CellState("s", ["GENE9"], np.array([1.5], np.float32)))
    assert_same(scorer.network(SOURCES, TARGETS), by_pairs(scorer, SOURCES, TARGETS))


def test_an_error_in_a_worker_is_the_runs(joined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Prober, sources: np.ndarray, targets: np.ndarray) -> None:
        raise MemoryError

    monkeypatch.setattr(Prober, "cells", fail)
    with pytest.raises(MemoryError):
        load(joined).network_file(SOURCES, TARGETS, tmp_path / "n.csv")
    assert not (tmp_path / "n.csv").exists()


def test_a_model_that_gives_no_number_is_an_error(joined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Prober.cells
    monkeypatch.setattr(Prober, "cells", lambda *a: [part * np.float32("nan") for part in run(*a)])
    with pytest.raises(InputError, match=f"source {SOURCES[0]}"):
        load(joined, threads=1).network(SOURCES, TARGETS)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top_k": 0}, "from 1"),
        ({"top_k": 2, "by": "edge"}, "source or target"),
        ({"by": "target"}, "add --top-k"),
        ({"min_probability": 1.5}, "from 0 to 1"),
        ({"min_probability": float("nan")}, "from 0 to 1"),
        ({"prior": 1.0}, "between 0 and 1"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        NetworkSettings(**settings)  # type: ignore[arg-type]


def test_a_network_warns_of_nothing(joined: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(joined).network(SOURCES, TARGETS, top_k=2, by="target")
