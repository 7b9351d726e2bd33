"""Networks with their links, and structures of some genes or of all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ugrn.export.adapter.train import adapter_for
from ugrn.export.backbones.adapted.graph_adapter import EdgeTensors
from ugrn.export.backbones.adapted.levels import Levels, randomised, structure_table, without_edges
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.networks.network import Network, WeightedNetwork, coexpression


def network_file(random: np.random.Generator, weighted: bool, edges: int = 80) -> WeightedNetwork:
    network = Network.of(random.integers(0, 20, edges) * 3, random.integers(0, 20, edges) * 3, 60)
    weights = random.uniform(0.1, 1, len(network)).astype(np.float32) if weighted else None
    return WeightedNetwork(network, weights)


def as_set(edges: EdgeTensors, genes: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(genes[edges.sources].tolist(), genes[edges.targets].tolist(), strict=True))


def test_structures_of_some_genes_are_those_of_all(random: np.random.Generator, backbone: MiniBackbone) -> None:
    files = [network_file(random, False), network_file(random, True)]
    adapter = adapter_for(backbone, 2)
    table = structure_table(backbone, adapter, files)
    levels = Levels.of(files)
    also = [torch.tensor([1, 3, 59]), torch.tensor([2, 1])]
    with torch.no_grad():
        found = levels.structures(backbone, adapter, [each.edges() for each in levels.each], also)
        asked = torch.tensor([59, 2, *levels.genes.tolist(), 1, 1])
        torch.testing.assert_close(found(asked), table[asked], rtol=0, atol=1e-6)
        assert found(asked[:0]).shape == (0, adapter.config.structure)


def test_levels_keep_edges_and_weights(random: np.random.Generator) -> None:
    file = network_file(random, True)
    (level,) = Levels.of([file]).each
    assert file.weights is not None
    assert level.weights is not None
    genes = Levels.of([file]).genes
    known = dict(zip(file.network.keys().tolist(), file.weights.tolist(), strict=True))
    for source, target, weight in zip(level.network.sources, level.network.targets, level.weights, strict=True):
        assert known[int(genes[source] * 60 + genes[target])] == weight


def test_links_are_the_strongest_coexpression_of_measured_genes(random: np.random.Generator) -> None:
    file = network_file(random, False)
    measured = random.permutation(60)[:40]  # in any order
    values = random.normal(size=(50, 40)).astype(np.float32)
    levels = Levels.of([file]).with_links(values, measured)
    (level,) = levels.each
    assert level.links is not None
    likeness = coexpression(values)
    column = {int(gene): place for place, gene in enumerate(measured)}
    inside = [gene for gene in levels.genes.tolist() if gene in column]
    edges = set(zip(file.network.sources.tolist(), file.network.targets.tolist(), strict=True))
    expected = set()
    for source in inside:
        count = sum(a == source and b in column for a, b in edges)
        others = sorted((g for g in inside if g != source), key=lambda g: -likeness[column[source], column[g]])  # noqa: B023
        expected |= {(source, other) for other in others[:count]}
    found = EdgeTensors(torch.from_numpy(level.links.sources), torch.from_numpy(level.links.targets))
    assert as_set(found, levels.genes) == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_perturbed_edges_are_edges_and_links(random: np.random.Generator, weighted: bool) -> None:
    file = network_file(random, weighted)
    levels = Levels.of([file]).with_links(random.normal(size=(50, 60)).astype(np.float32), np.arange(60))
    (level,) = levels.each
    assert level.links is not None
    edges = level.perturbed(0.5, random)
    own, links = as_set(level.edges(), levels.genes), set(zip(*_ends(level.links, levels.genes), strict=True))
    found = as_set(edges, levels.genes)
    assert found <= own | links
    assert found - own
    assert found & own
    if weighted:
        assert file.weights is not None
        assert edges.weights is not None
        known = dict(zip(file.network.keys().tolist(), file.weights.tolist(), strict=True))
        listed = zip(levels.genes[edges.sources], levels.genes[edges.targets], edges.weights.tolist(), strict=True)
        for source, target, weight in listed:
            assert weight == pytest.approx(known.get(int(source * 60 + target), file.weights.mean()), rel=1e-6)
    assert as_set(level.perturbed(0.0, random), levels.genes) == own


def _ends(network: Network, genes: np.ndarray) -> tuple[list[int], list[int]]:
    return genes[network.sources].tolist(), genes[network.targets].tolist()


def test_controls_of_a_network(random: np.random.Generator) -> None:
    file = network_file(random, True)
    other = randomised(file, random)
    assert file.weights is not None
    assert other.weights is not None
    assert sorted(other.weights.tolist()) == sorted(file.weights.tolist())
    for side in ("sources", "targets"):
        one, two = (np.bincount(getattr(each.network, side), minlength=60) for each in (file, other))
        assert one.tolist() == two.tolist()
    assert len(without_edges(file).network) == 0
    assert without_edges(file).network.genes == 60
