"""Training of the adapter: show a few genes of a cell and predict others, as the readout that is exported does.

A step draws a few cells; each is one virtual cell that shows 1 to 32 of its genes, one of them as the source. The loss
is the mean squared error of a few hundred other genes, in the backbone's units. In every step a share of the networks'
edges is replaced by links of co-expression of the same cells (GRNFormer, arXiv 2503.01682, "edge perturbation", 20 %).
The backbone is frozen, or trained along at a tenth of the rate. What is drawn depends on seed and step alone, so a
resumed run ends where an uninterrupted one does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ugrn.runtime.errors import InputError

from ..backbones.adapted.backbone import predict_adapted
from ..backbones.adapted.graph_adapter import AdapterConfig, GraphAdapter
from ..backbones.adapted.levels import Levels
from ..model.adaptable import AdaptableBackbone, adapter_widths
from ..model.base import Readout
from ..networks.network import WeightedNetwork
from ..pretrain.loop import TrainingStatus
from ..training.resume import ResumeFile, digest, learning_rate
from .cells import MaskedCell, TrainingCells
from .held_out import draw_held_out, errors, evaluate_adapter

BACKBONE_RATE = 0.1  # of the adapter's


@dataclass(frozen=True)
class AdaptConfig:
    """Settings of one training run.

    Attributes:
        steps: optimiser steps.
        cells: per step.
        most_shown: largest number of genes that are shown of a cell.
        asked: genes that are asked of a cell.
        rate: peak learning rate (AdamW, linear warm-up, cosine to zero).
        decay: weight decay of matrices.
        perturbation: share of the edges that links of co-expression replace in every step.
        unfreeze: train the backbone along.
        evaluated: draws of held-out cells by which the result is judged.
        seed: of initial weights and of all that is drawn.
    """

    steps: int = 2000
    cells: int = 8
    most_shown: int = 32
    asked: int = 256
    rate: float = 1e-3
    decay: float = 0.01
    perturbation: float = 0.2
    unfreeze: bool = False
    evaluated: int = 256
    seed: int = 0


@dataclass(frozen=True)
class AdaptationTask:
    """A backbone, its readout, networks and cells: all that an adapter is trained on."""

    backbone: AdaptableBackbone
    readout: Readout
    networks: Sequence[WeightedNetwork]
    cells: TrainingCells


def adapter_for(backbone: AdaptableBackbone, networks: int) -> GraphAdapter:
    """A new adapter of the backbone's widths."""
    return GraphAdapter(AdapterConfig(*adapter_widths(backbone), networks=networks))


def adapt(
    task: AdaptationTask,
    config: AdaptConfig,
    resume_file: Path,
    report: Callable[[TrainingStatus], None],
    every: int = 100,
) -> tuple[GraphAdapter, dict[str, Any]]:
    """Train an adapter, and the backbone along where that is asked for.

    Args:
        task: its backbone is changed in place where it is trained.
        config: of the run.
        resume_file: training state, written every `every` steps and read where it exists.
        report: called every ten steps.
        every: steps between saved states.

    Returns:
        The adapter, and its errors on held-out cells (`held_out.evaluate_adapter`).

    Raises:
        InputError: `resume_file` is of a run with other settings, or training diverges.
    """
    backbone, cells = task.backbone, task.cells
    torch.manual_seed(config.seed)
    adapter = adapter_for(backbone, len(task.networks))
    optimiser = _optimiser(adapter, backbone, config)
    resume = ResumeFile(resume_file, _fingerprint(task, adapter, config))
    draws = draw_held_out(cells, config.evaluated, config.most_shown, config.asked, config.seed)
    before = errors(backbone, task.readout, draws)
    levels = Levels.of(task.networks)
    if config.perturbation:
        levels = levels.with_links(cells.values[~cells.held_out], cells.genes)
    trained = nn.ModuleDict({"adapter": adapter})
    if config.unfreeze:
        trained["backbone"] = cast(nn.Module, backbone)
    losses: list[float] = []
    for step in range(resume.load(trained, optimiser), config.steps):
        losses.append(_take_step(step, task, adapter, levels, optimiser, config))
        done = step + 1
        if not np.isfinite(losses[-1]):
            message = f"step {done}: the loss is {losses[-1]}; try other cells, or leave the backbone frozen"
            raise InputError(message)
        if done % every == 0 and done < config.steps:
            resume.save(trained, optimiser, done)
        if done % 10 == 0 or done == config.steps:
            report(TrainingStatus(done, config.steps, float(np.mean(losses)), None))
            losses.clear()
    evaluation = evaluate_adapter(backbone, adapter, task.networks, task.readout, draws, before, config.seed)
    return adapter.eval(), evaluation


def _take_step(
    step: int,
    task: AdaptationTask,
    adapter: GraphAdapter,
    levels: Levels,
    optimiser: torch.optim.Optimizer,
    config: AdaptConfig,
) -> float:
    """One optimiser step; returns its loss."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(step, config.steps, config.rate * group["factor"])
    batch = draw_batch(step, task.cells, config)
    random = np.random.default_rng([config.seed, step, 1])
    edges = [level.perturbed(config.perturbation, random) for level in levels.each]
    structures = levels.structures(task.backbone, adapter, edges, [shown.genes for shown in batch])

    def loss(shown: MaskedCell) -> Tensor:
        cell = shown.virtual_cell(task.backbone.card.baseline)
        found = predict_adapted(task.backbone, adapter, structures, cell, shown.asked, task.readout)
        return (found[0] - shown.wanted).square().mean()

    whole = torch.stack([loss(shown) for shown in batch]).mean()
    optimiser.zero_grad(set_to_none=True)
    whole.backward()
    torch.nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 1.0)
    optimiser.step()
    return float(whole.detach())


def draw_batch(step: int, cells: TrainingCells, config: AdaptConfig) -> list[MaskedCell]:
    """The cells of a step, of those that are not held out."""
    random = np.random.default_rng([config.seed, step])
    rows = random.choice(np.flatnonzero(~cells.held_out), config.cells)
    return [cells.show(row, config.most_shown, config.asked, random) for row in rows]


def _optimiser(adapter: GraphAdapter, backbone: AdaptableBackbone, config: AdaptConfig) -> torch.optim.Optimizer:
    frozen = cast(nn.Module, backbone).requires_grad_(config.unfreeze)
    parts = [(adapter.parameters(), 1.0), *([(frozen.parameters(), BACKBONE_RATE)] if config.unfreeze else [])]
    groups: list[dict[str, Any]] = []
    for parameters, factor in parts:
        every = list(parameters)
        for decay, chosen in (
            (config.decay, [p for p in every if p.dim() > 1]),
            (0.0, [p for p in every if p.dim() <= 1]),
        ):
            groups.append({"params": chosen, "weight_decay": decay, "factor": factor})
    return torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.98), fused=True)


def _fingerprint(task: AdaptationTask, adapter: GraphAdapter, config: AdaptConfig) -> str:
    """All that decides a run, as text."""
    state = cast(nn.Module, task.backbone).state_dict()
    networks = [
        digest(each.network.keys(), *([] if each.weights is None else [each.weights])) for each in task.networks
    ]
    cells = digest(task.cells.values, task.cells.genes, task.cells.held_out)
    backbone = digest(*(tensor.numpy() for _, tensor in sorted(state.items())))
    return json.dumps([asdict(config), asdict(adapter.config), task.readout, networks, cells, backbone])
