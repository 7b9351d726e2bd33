"""Networks and their controls against plain loops."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from ugrn.export.networks.network import Network, coexpression, nearest, perturbed, rewired


def drawn(random: np.random.Generator, genes: int = 40, edges: int = 300) -> Network:
    return Network.of(random.integers(0, genes, edges), random.integers(0, genes, edges), genes)


def pairs(network: Network) -> set[tuple[int, int]]:
    return set(zip(network.sources.tolist(), network.targets.tolist(), strict=True))


def degrees(network: Network) -> tuple[list[int], list[int]]:
    sides = (network.sources, network.targets)
    return tuple(np.bincount(side, minlength=network.genes).tolist() for side in sides)  # type: ignore[return-value]


def test_a_network_has_distinct_edges_without_loops_by_source_and_target(random: np.random.Generator) -> None:
    sources, targets = random.integers(0, 9, (2, 200))
    network = Network.of(sources, targets, 9)
    listed = list(zip(network.sources.tolist(), network.targets.tolist(), strict=True))
    assert listed == sorted({(int(a), int(b)) for a, b in zip(sources, targets, strict=True) if a != b})
    assert network.keys().tolist() == [9 * a + b for a, b in listed]
    places = np.array([7, 2, 5])
    inside = {(list(places).index(a), list(places).index(b)) for a, b in listed if a in places and b in places}
    assert pairs(network.among(places)) == inside


def test_rewired_keeps_every_degree_and_makes_a_simple_graph(random: np.random.Generator) -> None:
    for genes, edges in ((40, 300), (12, 60), (200, 400)):
        network = drawn(random, genes, edges)
        other = rewired(network, random)
        assert degrees(other) == degrees(network)
        assert len(pairs(other)) == len(other) == len(network)
        assert all(a != b for a, b in pairs(other))
    assert pairs(other) != pairs(network)
    assert len(pairs(other) & pairs(network)) < 0.3 * len(network)


def test_degrees_that_leave_no_other_graph(random: np.random.Generator) -> None:
    star = Network.of(np.array([0, 0, 1]), np.array([1, 2, 2]), 3)
    for _ in range(20):  # there is one simple graph of these degrees
        assert pairs(rewired(star, random)) == pairs(star)
    nobody = Network.of([], [], 3)
    assert len(rewired(nobody, random)) == 0


def test_rewired_takes_dense_networks(random: np.random.Generator) -> None:
    left, right = np.nonzero(random.random((30, 30)) < random.uniform(0.02, 0.98, size=30))
    network = Network.of(left, right, 30)
    other = rewired(network, random)
    assert degrees(other) == degrees(network)
    assert pairs(other) != pairs(network)
    assert all(a != b for a, b in pairs(other))


def test_rewired_draws_every_network_of_these_degrees_equally_often(random: np.random.Generator) -> None:
    start = Network.of([0, 0, 1, 1, 2, 3], [4, 5, 5, 6, 6, 4], 7)
    places = [(source, target) for source in range(4) for target in (4, 5, 6)]
    subsets = [Network.of(*zip(*chosen, strict=True), 7) for chosen in itertools.combinations(places, len(start))]
    alike = [frozenset(pairs(each)) for each in subsets if degrees(each) == degrees(start)]
    draws = 200 * len(alike)
    counts = Counter(frozenset(pairs(rewired(start, random))) for _ in range(draws))
    assert set(counts) == set(alike)
    assert len(alike) > 10
    excess = sum((counts[each] - 200) ** 2 / 200 for each in alike)
    assert excess < len(alike) + 5 * (2 * len(alike)) ** 0.5  # chi-squared, five standard deviations


def test_nearest_against_a_plain_loop(random: np.random.Generator) -> None:
    network = drawn(random, 20, 60)
    likeness = random.normal(size=(20, 20))
    expected = set()
    for source in range(20):
        count = sum(a == source for a, _ in pairs(network))
        others = sorted((gene for gene in range(20) if gene != source), key=lambda gene: -likeness[source, gene])  # noqa: B023
        expected |= {(source, gene) for gene in others[:count]}
    assert pairs(nearest(likeness, network)) == expected
    none = Network.of([], [], 20)
    assert len(nearest(likeness, none)) == 0
    full = Network.of(np.zeros(19, int), np.arange(1, 20), 20)  # a source with every other gene
    assert pairs(nearest(likeness, full)) == pairs(full)


def test_coexpression_against_a_plain_loop(random: np.random.Generator) -> None:
    values = random.normal(size=(30, 6))
    values[:, 3] = 2.0
    found = coexpression(values)
    for a in range(6):
        for b in range(6):
            expected = 0.0 if 3 in (a, b) else abs(np.corrcoef(values[:, a], values[:, b])[0, 1])
            assert found[a, b] == pytest.approx(expected, abs=1e-6)
    single = coexpression(values.astype(np.float32))
    np.testing.assert_allclose(single, found, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_perturbed_replaces_a_share_of_the_edges_by_links(random: np.random.Generator, share: float) -> None:
    network, links = drawn(random), drawn(random)
    changed, weights = perturbed(network, links, share, random)
    found = pairs(changed)
    assert weights is None
    assert found <= pairs(network) | pairs(links)
    fresh = pairs(links) - pairs(network)  # links that are edges already replace nothing
    assert len(found) == len(changed) == len(network)
    assert len(found - pairs(network)) == min(round(share * len(network)), len(fresh))


def test_perturbed_takes_no_more_links_than_there_are(random: np.random.Generator) -> None:
    network = drawn(random)
    few = Network.of([1, 2], [2, 3], network.genes)
    found = pairs(perturbed(network, few, 1.0, random)[0])
    assert pairs(few) - pairs(network) <= found
    assert len(found & pairs(network)) == len(network) - len(pairs(few) - pairs(network))
    assert pairs(perturbed(network, Network.of([], [], network.genes), 0.5, random)[0]) == pairs(network)
