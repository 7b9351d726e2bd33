"""Errors of an adapted backbone on cells it was not trained on, beside controls.

The same draws are predicted by the backbone alone, by the adapted backbone, and by the adapted backbone whose network
was taken away, or replaced by a random one of the same degrees, after training. If the last two do as well, the edges
carry nothing that the adapter uses. The stricter control, an adapter that is trained with the random network from the
start, is a run of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ugrn.runtime.arrays import Doubles

from ..backbones.adapted.backbone import AdaptedBackbone
from ..backbones.adapted.graph_adapter import GraphAdapter
from ..backbones.adapted.levels import randomised, structure_table, without_edges
from ..bundle.card import ARMS
from ..model.adaptable import AdaptableBackbone
from ..model.base import Backbone, Readout
from ..networks.network import WeightedNetwork
from .cells import MaskedCell, TrainingCells

EVALUATION = 1 << 40  # in the place of a step, where numbers are drawn
Draws = list[list[MaskedCell]]  # of every cell, as many
MATTERS = (
    "the adapter uses which genes the edges connect; whether another network would have served as well, only an "
    "adapter that was trained with it can say"
)
DOES_NOT_MATTER = (
    "a random network does as well, within two standard errors: it does not matter here which genes the edges connect"
)


def draw_held_out(cells: TrainingCells, count: int, most_shown: int, asked: int, seed: int) -> Draws:
    """About `count` draws of held-out cells, as many of each; of few cells there are several."""
    random = np.random.default_rng([seed, EVALUATION])
    rows = random.permutation(np.flatnonzero(cells.held_out))[:count]
    times = -(-count // len(rows))
    return [[cells.show(row, most_shown, asked, random) for _ in range(times)] for row in rows]


@torch.no_grad()
def errors(backbone: Backbone, readout: Readout, draws: Draws) -> Doubles:
    """Mean squared error of every cell, ``[N]``."""
    baseline = backbone.card.baseline

    def error(shown: MaskedCell) -> float:
        found = backbone.predict(shown.virtual_cell(baseline), shown.asked, readout)[0]
        return float((found - shown.wanted).square().mean())

    return np.array([np.mean([error(shown) for shown in of_cell]) for of_cell in draws])


def evaluate_adapter(
    backbone: AdaptableBackbone,
    adapter: GraphAdapter,
    files: Sequence[WeightedNetwork],
    readout: Readout,
    draws: Draws,
    before: Doubles,
    seed: int,
) -> dict[str, Any]:
    """The held-out errors, and the others' differences from the adapted backbone's, with standard errors.

    Args:
        before: ``[N]``, errors of the backbone alone, before training.
    """

    def errors_with(networks: Sequence[WeightedNetwork]) -> Doubles:
        table = structure_table(backbone, adapter, networks)
        return errors(AdaptedBackbone(backbone, adapter, table, readout), readout, draws)

    random = np.random.default_rng([seed, EVALUATION, 1])
    after = errors_with(files)
    found = {"before": before, "after": after, "without_edges": errors_with([*map(without_edges, files)])}
    missing = {}
    try:
        others = [randomised(file, random) for file in files]
    except ValueError as error:  # degrees that leave hardly another network
        missing["random_network"] = str(error)
    else:
        found["random_network"] = errors_with(others)
    more = {name: each - after for name, each in found.items() if name != "after"}
    return {
        "cells": len(draws),
        "draws": sum(map(len, draws)),
        "error": {name: float(each.mean()) for name, each in found.items()},
        "more_than_after": {name: [float(each.mean()), _standard_error(each)] for name, each in more.items()},
        "not_measured": missing,
    }


def evaluation_lines(found: dict[str, Any]) -> list[str]:
    """The held-out errors, for people."""
    lines = [f"held-out error of {found['cells']} cells (mean squared, in the backbone's units):"]
    for name, error in found["error"].items():
        more = found["more_than_after"].get(name)
        lines.append(f"  {ARMS[name]:<30}{error:.5f}" + (f"  {more[0]:+.5f} ± {more[1]:.5f}" if more else ""))
    lines += [f"  {ARMS[name]:<30}not measured: {why}" for name, why in found["not_measured"].items()]
    if random := found["more_than_after"].get("random_network"):
        lines.append(MATTERS if random[0] > 2 * random[1] else DOES_NOT_MATTER)
    return lines


def _standard_error(values: Doubles) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
