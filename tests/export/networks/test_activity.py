"""AUCell against plain loops and decoupler, and the cut against planted populations."""

from __future__ import annotations

import importlib.util
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from ugrn.export.networks import activity
from ugrn.export.networks.activity import above_chance, credits_of, score_activities, top_ranks, two_populations
from ugrn.export.networks.cell_files import CellFile


def cells_of(values: np.ndarray) -> CellFile:
    names = [f"c{row}" for row in range(len(values))], [f"g{column}" for column in range(values.shape[1])]
    return CellFile(Path("x.h5ad"), "x.h5ad", *names, sp.csr_array(values), True, {})


def random_sets(random: np.random.Generator, genes: int, count: int) -> list[list[int]]:
    return [sorted(random.choice(genes, random.integers(1, 15), replace=False).tolist()) for _ in range(count)]


def members_of(sets: list[list[int]], genes: int) -> sp.csc_array:
    places = [(gene, row) for row, targets in enumerate(sets) for gene in targets]
    return sp.csc_array((np.ones(len(places)), tuple(zip(*places, strict=True))), shape=(genes, len(sets)))


def area(order: list[int], targets: set[int], top: int) -> float:
    """The area under the recovery curve, step by step, as a share of the largest."""
    found, total = 0, 0.0
    for gene in order[: top - 1]:
        found += gene in targets
        total += found
    best = sum(min(rank, len(targets)) for rank in range(1, top))
    return total / best


def test_activities_are_areas_under_recovery_curves(
    random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "CELLS_AT_ONCE", 7)
    values = random.lognormal(size=(17, 103)).astype(np.float32)
    sets = random_sets(random, 103, 12)
    told: list[tuple[int, int]] = []
    share = float(random.uniform(0.03, 1.0))
    found, credit = score_activities(cells_of(values), members_of(sets, 103), share, lambda *a: told.append(a))
    top = top_ranks(103, share)
    for cell, row in enumerate(values):
        order = sorted(range(103), key=lambda gene: -row[gene])
        expected = [area(order, set(targets), top) for targets in sets]
        np.testing.assert_allclose(found[cell], expected, rtol=1e-6, atol=1e-7)
    assert told == [(7, 17), (14, 17), (17, 17)]
    np.testing.assert_allclose(credit, credits_of(values, top).mean(0))


def test_ties_count_as_the_mean_over_all_their_orders(random: np.random.Generator) -> None:
    values = random.integers(0, 3, (5, 7)).astype(np.float32)
    targets = {0, 3, 4}
    for row in values:
        orders = [list(order) for order in permutations(range(7)) if all(np.diff(row[list(order)]) <= 0)]
        expected = np.mean([area(order, targets, 4) for order in orders])
        found, _ = score_activities(cells_of(row[None]), members_of([[0, 3, 4]], 7), 0.5, lambda done, total: None)
        assert found[0, 0] == pytest.approx(expected, rel=1e-6)


def test_the_order_of_the_genes_does_not_matter(random: np.random.Generator) -> None:
    values = random.poisson(0.4, (6, 90)).astype(np.float32)
    order = random.permutation(90)
    np.testing.assert_allclose(credits_of(values[:, order], 9), credits_of(values, 9)[:, order])
    assert credits_of(values, 9).sum(1) == pytest.approx(sum(range(9)))


def test_activities_agree_with_decoupler(random: np.random.Generator) -> None:
    if importlib.util.find_spec("decoupler") is None:
        pytest.skip("decoupler is not installed")
    import decoupler

    values = random.lognormal(size=(25, 400)).astype(np.float32)  # without ties, which decoupler leaves in file order
    sets = [targets for targets in random_sets(random, 400, 9) if len(targets) > 4]
    net = pd.DataFrame(
        [(f"r{row}", f"g{gene}") for row, targets in enumerate(sets) for gene in targets], columns=["source", "target"]
    )
    cells = cells_of(values)
    table = pd.DataFrame(values, index=cells.cells, columns=cells.features)
    theirs = decoupler.mt.aucell(table, net, tmin=1, raw=False)
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    ours, _ = score_activities(cells, members_of(sets, 400), 0.05, lambda done, total: None)
    for row in range(len(sets)):
        np.testing.assert_allclose(ours[:, row], theirs[f"r{row}"], atol=1e-6)
    print("largest deviation", max(np.abs(ours[:, row] - theirs[f"r{row}"]).max() for row in range(len(sets))))


def test_ranks_that_count() -> None:
    assert [top_ranks(genes, 0.05) for genes in (20_000, 101, 30, 2)] == [1000, 6, 2, 2]
    assert top_ranks(50, 1.0) == 50


def test_planted_populations_are_cut_apart(random: np.random.Generator) -> None:
    for share in (0.2, 0.5, 0.85):
        low, high = random.normal(0.05, 0.01, 1000), random.normal(0.15, 0.02, 1000)
        is_high = random.random(1000) < share
        values = np.where(is_high, high, low).astype(np.float32)
        cut = two_populations(values)
        assert cut is not None
        assert 0.05 < cut < 0.15
        assert ((values > cut) == is_high).mean() > 0.98


def test_cells_without_any_activity_are_a_population(random: np.random.Generator) -> None:
    values = np.where(random.random(500) < 0.6, 0.0, random.normal(0.2, 0.03, 500)).astype(np.float32)
    cut = two_populations(values)
    assert cut is not None
    assert ((values > cut) == (values > 0)).mean() > 0.98


def test_one_population_is_not_cut(random: np.random.Generator) -> None:
    assert two_populations(np.full(50, 0.1, np.float32)) is None
    assert two_populations(np.zeros(50, np.float32)) is None
    cut = [two_populations(random.normal(0.1, 0.02, 400).astype(np.float32)) for _ in range(40)]
    assert sum(each is not None for each in cut) <= 4


def test_random_regulons_are_above_chance_about_one_in_twenty(random: np.random.Generator) -> None:
    credit = random.gamma(2.0, size=1000)
    sets = [sorted(random.choice(1000, 40, replace=False).tolist()) for _ in range(2000)]
    assert 0.02 < above_chance(members_of(sets, 1000), credit).mean() < 0.09
    strongest, weakest = np.argsort(credit)[-20:], np.argsort(credit)[:20]
    assert above_chance(members_of([strongest.tolist(), weakest.tolist()], 1000), credit).tolist() == [True, False]
