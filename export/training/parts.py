"""Fitting the parts of a translator: a probe's MLP, the product of gene embeddings, and their shares in the mean logit.

MLPs are fitted by binary cross-entropy, with early stopping on pairs of genes never seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from ugrn.runtime.arrays import Array
from ugrn.runtime.errors import InputError
from ugrn.runtime.translator.mlp import Mlp
from ugrn.runtime.translator.translator import EMB, Product

from .examples import Examples, LabelledPairs, TranslatorConfig, auprc, cross_entropy

STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse penalties the product is tried with


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


def fit_product(train: Examples, valid: Examples, everything: Examples) -> tuple[Product, Array, dict[str, float]]:
    """The product with the smallest validation loss, refitted on all pairs; its validation logits ``[N]`` and metrics.

    A ridge-penalised logistic regression on products scaled to a mean square of one, so that the penalty draws all
    components towards the same weight on that scale, none at all.
    """
    tried = []
    for strength in STRENGTHS:
        logits = _logistic(train, strength).logits(valid.features[EMB])
        tried.append((cross_entropy(logits, valid.pairs), strength, logits))
    loss, strength, logits = min(tried, key=lambda each: each[0])
    metrics = {"validation_auprc": auprc(valid.pairs, logits), "validation_loss": loss, "strength": strength}
    return _logistic(everything, strength), logits, metrics


def _logistic(examples: Examples, strength: float) -> Product:
    products = examples.features[EMB]
    scale = np.sqrt(np.mean(np.square(products), axis=0) + 1e-12)
    model = LogisticRegression(C=strength, max_iter=1000)
    model.fit(products / scale, examples.pairs.labels, sample_weight=examples.pairs.weights)
    return Product((model.coef_[0] / scale).astype(np.float32), model.intercept_.astype(np.float32))


def fit_shares(logits: Mapping[str, Array], valid: LabelledPairs) -> dict[str, float]:
    """Weights of the mean of logits ``[N]``, summing to one.

    Probes weigh alike (the paper's Ensemble); the embeddings' weight against theirs is from a logistic regression on
    the validation pairs.
    """
    probes = [part for part in logits if part != EMB]
    if EMB not in logits or not probes:
        return {part: 1.0 / len(logits) for part in logits}
    both = np.stack([np.mean([logits[part] for part in probes], axis=0), logits[EMB]], axis=1)
    model = LogisticRegression(C=1e6).fit(both, valid.labels, sample_weight=valid.weights)
    of_probes, of_embeddings = np.maximum(model.coef_[0], 0.0) + 1e-6
    share = float(of_embeddings / (of_probes + of_embeddings))
    return {part: (1.0 - share) / len(probes) for part in probes} | {EMB: share}
