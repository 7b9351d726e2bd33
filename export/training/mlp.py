"""Fitting a probe's MLP by binary cross-entropy, with early stopping on pairs of genes never seen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import nn

from ugrn.runtime.arrays import Array
from ugrn.runtime.errors import InputError
from ugrn.runtime.translator.mlp import Mlp

from .examples import LabelledPairs, TranslatorConfig, cross_entropy


def _robust_scale(features: Array) -> tuple[Array, Array]:
    low, middle, high = np.percentile(features, [25, 50, 75], axis=0)
    scale = (high - low) / 1.349
    return middle.astype(np.float32), np.maximum(scale, 1e-6).astype(np.float32)


def stop_early(
    features: Array, train: LabelledPairs, valid_features: Array, valid: LabelledPairs, config: TranslatorConfig
) -> tuple[Mlp, int, float]:
    """The MLP of features ``[N, F]`` with the smallest validation loss, its number of epochs, and that loss.

    Raises:
        InputError: no epoch is asked for.
    """
    best: tuple[Mlp, int, float] | None = None
    for epoch, mlp in enumerate(islice(train_epochs(features, train, config), config.epochs), 1):
        loss = cross_entropy(mlp.logits(valid_features), valid)
        if best is None or loss < best[2] - 1e-5:
            best = mlp, epoch, loss
        elif epoch - best[1] >= config.patience:
            break
    if best is None:
        message = f"{config.epochs} epochs asked for; expected at least one"
        raise InputError(message)
    return best


def train_epochs(features: Array, pairs: LabelledPairs, config: TranslatorConfig) -> Iterator[Mlp]:
    """Train one MLP on features ``[N, F]`` without end, yielding it after every epoch."""
    torch.manual_seed(config.seed)
    centre, scale = _robust_scale(features)
    x = torch.from_numpy(np.arcsinh((features - centre) / scale))
    y, w = torch.from_numpy(pairs.labels), torch.from_numpy(pairs.weights)
    widths = (features.shape[1], *config.hidden, 1)
    linears = [nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    net = nn.Sequential(*[part for linear in linears for part in (linear, nn.Tanh())][:-1])
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=config.decay)
    while True:
        for rows in torch.randperm(len(x)).split(config.batch):
            loss = nn.functional.binary_cross_entropy_with_logits(net(x[rows])[:, 0], y[rows], w[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        weights = tuple(linear.weight.detach().numpy().T.copy() for linear in linears)
        biases = tuple(linear.bias.detach().numpy().copy() for linear in linears)
        yield Mlp(centre, scale, weights, biases)
