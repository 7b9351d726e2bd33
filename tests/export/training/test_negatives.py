"""Negatives of every regime."""

from __future__ import annotations

import numpy as np
import pytest

from ugrn.export.training.negatives import REGIMES, draw_negatives
from ugrn.runtime.errors import InputError


@pytest.mark.parametrize("regime", REGIMES)
def test_negatives_are_no_edges_and_follow_their_regime(regime: str) -> None:
    rng = np.random.default_rng(1)
    edges = np.unique(rng.integers(0, 30, (200, 2)), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    known = np.array([[0, 99]])
    drawn = draw_negatives(edges, np.arange(100), regime, rng, known)  # type: ignore[arg-type]
    listed = {tuple(pair) for pair in edges.tolist()} | {(0, 99)}
    found = [tuple(pair) for pair in drawn.tolist()]
    assert len(set(found)) == len(found)
    assert not listed & set(found)
    assert all(a != b for a, b in found)
    assert len(found) >= 0.8 * len(edges)
    if regime != "random":
        assert (np.bincount(drawn[:, 0], minlength=30) <= np.bincount(edges[:, 0], minlength=30)).all()
    if regime == "degree-aware":
        assert set(drawn[:, 1].tolist()) <= set(edges[:, 1].tolist())


def test_degree_aware_negatives_have_the_in_degrees_of_the_edges() -> None:
    rng = np.random.default_rng(2)
    targets = np.concatenate([np.zeros(100), np.ones(60), rng.integers(2, 400, 840)]).astype(int)
    edges = np.unique(np.stack([rng.integers(500, 3000, 1000), targets], axis=1), axis=0)
    drawn = draw_negatives(edges, np.arange(400), "degree-aware", rng)
    for hub, share in ((0, 0.10), (1, 0.06)):
        assert abs((drawn[:, 1] == hub).mean() - share) < 0.035


def test_saturated_sources_give_fewer_negatives() -> None:
    edges = np.array([[0, target] for target in range(1, 10)])
    drawn = draw_negatives(edges, np.arange(12), "same-source", np.random.default_rng(0))
    assert {tuple(pair) for pair in drawn.tolist()} == {(0, 10), (0, 11)}


def test_unknown_regime_is_refused() -> None:
    with pytest.raises(InputError, match="degree-aware"):
        draw_negatives(np.array([[0, 1]]), np.arange(3), "hard", np.random.default_rng(0))  # type: ignore[arg-type]
