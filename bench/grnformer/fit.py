"""Fitting one arm on one split, in the same way for every arm.

All arms of a seed have the same budget, begin with the same seed and see the same batches in the same order, so that
they can be compared in pairs. Of all epochs that is kept after which the validation rows are predicted best. The state
before the first one does not count: it predicts means, as some of the baselines do, and all arms would be alike where
nothing beats these.

The settings were chosen by the loss on validation rows with the arms ``none`` and ``no edges`` alone
(``bench/grnformer/settings.py``).
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ugrn.runtime.arrays import Array

from .arms import Arm
from .data import Rows, TaskKind
from .models import ModelSizes
from .problems import Problem

READ_AT_ONCE = 128  # cells or lines


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit.

    Attributes:
        sizes: of the model.
        epochs: passes over the training rows.
        batch: cells, lines or perturbations of a step.
        rate: learning rate of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).
        decay: its weight decay.
        beta_rate: how many times faster beta learns, which starts at zero.
        share: of a network's edges, replaced anew in every epoch by links of co-expression.
    """

    sizes: ModelSizes = field(default_factory=ModelSizes)
    epochs: int = 10
    batch: int = 128
    rate: float = 1e-3
    decay: float = 1e-2
    beta_rate: float = 10.0
    share: float = 0.2


SETTINGS: dict[TaskKind, FitSettings] = {
    "perturbation": FitSettings(ModelSizes(hidden=32), epochs=40, batch=1024, rate=3e-4, decay=1.0, beta_rate=1e3),
    "drug-response": FitSettings(ModelSizes(hidden=128), epochs=7, batch=32, rate=5e-4, decay=1e-1, beta_rate=30),
    "drug-class": FitSettings(ModelSizes(hidden=0), epochs=2, batch=32, rate=1e-3, decay=1.0, beta_rate=100),
}


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        model: in its best state.
        epoch: after which, from 1; 0 where there was none.
        losses: at validation, before the first epoch and after each.
        seconds: that it took.
    """

    model: nn.Module
    epoch: int
    losses: tuple[float, ...]
    seconds: float

    @property
    def beta(self) -> float:
        """The factor of the adapter's contribution."""
        return float(
            next(value.detach() for name, value in self.model.named_parameters() if name.endswith("adapter.beta"))
        )


def fit(problem: Problem, arm: Arm, settings: FitSettings, seed: int) -> Fitted:
    """Fit one arm."""
    started = time.monotonic()
    torch.manual_seed(seed)
    model = problem.model(settings.sizes, len(arm.wirings))
    optimiser = torch.optim.AdamW(_groups(model, settings), settings.rate, weight_decay=settings.decay)
    batches, replaced = (np.random.default_rng([seed, stream]) for stream in (2, 3))
    train = problem.split.train
    losses = [_validation(problem, model, arm)]
    best = copy.deepcopy(model.state_dict())
    for _ in range(settings.epochs):
        now = arm.perturbed(settings.share, replaced)
        model.train()
        for places in problem.parts(train, settings.batch, batches):
            rows = train[places]
            loss = problem.loss(problem.outputs(model, now, rows), rows)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        losses.append(_validation(problem, model, arm))
        if losses[-1] <= min(losses[1:]):
            best = copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    epoch = len(losses) - 1 - int(np.argmin(losses[:0:-1])) if settings.epochs else 0
    return Fitted(model, epoch, tuple(losses), time.monotonic() - started)


def predict(problem: Problem, model: nn.Module, arm: Arm, rows: Rows) -> Array:
    """Predictions of a fitted model for some rows, as `bench.grnformer.metrics.measure` takes it."""
    return problem.finish(_read(problem, model, arm, rows).numpy())


@torch.no_grad()
def _read(problem: Problem, model: nn.Module, arm: Arm, rows: Rows) -> Tensor:
    model.eval()
    places, found = [], []
    for part in problem.parts(rows, READ_AT_ONCE):
        places.append(part)
        found.append(problem.outputs(model, arm, rows[part]))
    outputs = torch.cat(found)
    ordered = torch.empty_like(outputs)
    ordered[torch.from_numpy(np.concatenate(places))] = outputs
    return ordered


def _validation(problem: Problem, model: nn.Module, arm: Arm) -> float:
    rows = problem.split.validation
    return float(problem.loss(_read(problem, model, arm, rows), rows))


def _groups(model: nn.Module, settings: FitSettings) -> list[dict[str, Any]]:
    """Parameters with their own rates: beta learns faster, and is not drawn to zero."""
    named = list(model.named_parameters())
    beta = [value for name, value in named if name.endswith("adapter.beta")]
    rest = [value for name, value in named if not name.endswith("adapter.beta")]
    return [{"params": rest}, {"params": beta, "lr": settings.rate * settings.beta_rate, "weight_decay": 0.0}]
