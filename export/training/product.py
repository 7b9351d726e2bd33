"""Fitting the product of gene embeddings, and its share in the mean of the logits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression

from ugrn.runtime.arrays import Array
from ugrn.runtime.translator.translator import EMB, Product

from .examples import Examples, LabelledPairs, auprc, cross_entropy

STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse penalties the product is tried with


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
