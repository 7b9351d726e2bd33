"""Message passing where every row weighs the edges in its own way, against plain loops."""

from __future__ import annotations

import numpy as np
import torch

from ugrn.export.backbones.adapted.graph_adapter import neighbour_mean
from ugrn.export.networks.network import Network


def test_weighted_means_against_plain_loops(random: np.random.Generator) -> None:
    network = Network.of(random.integers(9, size=30), random.integers(9, size=30), 9)
    weights = random.uniform(0, 2, (4, len(network))) * (random.random((4, len(network))) < 0.6)
    for x in (random.normal(size=(9, 3)), random.normal(size=(4, 9, 3))):
        read, write = torch.tensor(network.targets), torch.tensor(network.sources)
        found = neighbour_mean(torch.tensor(x), read, write, torch.tensor(weights)).numpy()
        for row in range(4):
            for gene in range(9):
                total, count = np.zeros(3), 0.0
                for edge in np.flatnonzero(network.sources == gene):
                    own = x if x.ndim == 2 else x[row]
                    total += weights[row, edge] * own[network.targets[edge]]
                    count += weights[row, edge]
                assert np.allclose(found[row, gene], total / count if count else 0.0)


def test_the_same_weights_in_every_row_are_shared_weights(random: np.random.Generator) -> None:
    network = Network.of(random.integers(9, size=30), random.integers(9, size=30), 9)
    weights, x = torch.tensor(random.uniform(0, 2, len(network))), torch.tensor(random.normal(size=(9, 3)))
    ends = torch.tensor(network.targets), torch.tensor(network.sources)
    shared = neighbour_mean(x, *ends, weights)
    by_row = neighbour_mean(x, *ends, weights.expand(5, -1))
    assert torch.allclose(by_row, shared.expand(5, -1, -1))
