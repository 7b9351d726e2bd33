"""Fitting a translator: two MLPs by binary cross-entropy, perhaps a product of embeddings, then a calibration map.

Edges are split by gene: validation pairs share no gene with training pairs, so early stopping and
calibration are judged on genes never seen; the MLPs that are kept are fitted on all edges. Both classes
weigh the same whatever the number of negatives, so the training prevalence is 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from torch import nn

from ugrn.runtime import Scorer
from ugrn.runtime.arrays import Array
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.pairs import PairsLike
from ugrn.runtime.translator.mlp import Mlp
from ugrn.runtime.translator.translator import EMB, Product, Translator

from .calibration import choose_calibration
from .negatives import Pairs, Regime, draw_negatives

STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse penalties the product is tried with


@dataclass(frozen=True)
class TranslatorConfig:
    """Settings of a fit.

    Attributes:
        negatives: how negatives are drawn.
        per_edge: negatives drawn per edge.
        hidden: widths of the hidden layers.
        validation_genes: share of the genes set aside for validation.
        rate, decay, batch: of AdamW.
        epochs: at most; training stops after `patience` epochs without a better validation loss.
        embeddings: whether gene embeddings, where the artifact has them, join the probes.
        seed: of split, negatives, weights and batches.
    """

    negatives: Regime = "degree-aware"
    per_edge: int = 5
    hidden: tuple[int, ...] = (32, 32)
    validation_genes: float = 0.35
    rate: float = 3e-3
    decay: float = 1e-3
    batch: int = 512
    epochs: int = 200
    patience: int = 20
    embeddings: bool = True
    seed: int = 0


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs ``[N, 2]`` with labels ``[N]`` (1 edge, 0 negative) and a weight ``[N]`` that balances the classes."""

    pairs: Pairs
    labels: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True)
class Examples:
    """Labelled pairs and, per part of the translator, their features ``[N, F]``; those of `EMB` are products."""

    pairs: LabelledPairs
    features: Mapping[str, Array]


@dataclass(frozen=True)
class Fit:
    """A fitted translator and what validation says of it."""

    translator: Translator
    metrics: dict[str, Any] = field(default_factory=dict)


def train_on_network(
    scorer: Scorer, edges: PairsLike, config: TranslatorConfig, report: Callable[[int, int], None]
) -> Fit:
    """Fit a translator for an artifact on a network.

    Args:
        scorer: of the artifact.
        edges: the network's true edges, as a pair list.
        config: settings.
        report: called with pairs probed and pairs in all.

    Raises:
        InputError: too few usable edges.
    """
    resolved = scorer.resolve(edges)
    rows = resolved.sorted_rows
    ids = np.stack(resolved.gene_ids(rows), axis=1).astype(np.int64)
    embeddings = scorer.artifact.embeddings if config.embeddings else None

    def features(pairs: Pairs) -> dict[str, Array]:
        found = scorer.features_of_ids(pairs[:, 0], pairs[:, 1], report)
        if embeddings is not None:
            left, right = (embeddings[pairs[:, side]].astype(np.float32) for side in (0, 1))
            found[EMB] = left * right
        return found

    fit = fit_on_edges(ids, features, config)
    used = {"given": len(resolved.pairs), "used": len(rows), "rejected": resolved.counts()}
    return Fit(fit.translator, fit.metrics | {"edges": used})


def fit_on_edges(edges: Pairs, features: Callable[[Pairs], Mapping[str, Array]], config: TranslatorConfig) -> Fit:
    """Fit a translator on edges ``[E, 2]`` and drawn negatives.

    Args:
        edges: ids of source and target.
        features: of pairs ``[N, 2]``, per part ``[N, F]``.
        config: settings.

    Raises:
        InputError: too few edges for a split.
    """
    train, valid = split_edges(edges, config)
    rng = np.random.default_rng([config.seed, 1])
    everything = labelled(edges, np.unique(edges), config.negatives, config.per_edge, rng)
    sides = (train, valid, everything)
    found = features(np.concatenate([side.pairs for side in sides]))
    bounds = np.cumsum([len(train), len(valid)])
    cut = {part: np.split(values, bounds) for part, values in found.items()}
    first, second, third = (
        Examples(side, {part: cut[part][index] for part in cut}) for index, side in enumerate(sides)
    )
    return fit_translator(first, second, third, config)


def split_edges(edges: Pairs, config: TranslatorConfig) -> tuple[LabelledPairs, LabelledPairs]:
    """Training and validation pairs that share no gene; edges between the two sides are left out.

    Raises:
        InputError: too few edges for a split.
    """
    rng = np.random.default_rng(config.seed)
    genes = np.unique(edges)
    aside = rng.permutation(genes)[: round(config.validation_genes * len(genes))]
    is_aside = np.isin(edges, aside)
    sides = [(~is_aside).all(1), is_aside.all(1)]
    if min(int(side.sum()) for side in sides) < 20:
        message = (
            f"found {len(edges)} edges among {len(genes)} genes; a split into training and validation pairs "
            "that share no gene leaves fewer than 20 edges on one side; give a larger network"
        )
        raise InputError(message)
    pools = (np.setdiff1d(genes, aside), aside)
    train, valid = (
        labelled(edges[side], pool, config.negatives, config.per_edge, rng, known=edges)
        for side, pool in zip(sides, pools, strict=True)
    )
    return train, valid


def labelled(
    edges: Pairs,
    genes: NDArray[np.int64],
    negatives: Regime,
    per_edge: int,
    rng: np.random.Generator,
    known: Pairs | None = None,
) -> LabelledPairs:
    """Edges with `per_edge` negatives each, weighted so that both classes weigh the same in total."""
    drawn: list[Pairs] = []
    blocked = edges if known is None else known
    for _ in range(per_edge):
        drawn.append(draw_negatives(edges, genes, negatives, rng, known=np.concatenate([blocked, *drawn])))
    others = np.concatenate(drawn)
    if len(others) == 0:
        message = f"no {negatives} negative is left among {len(genes)} genes; every candidate pair is an edge"
        raise InputError(message)
    labels = np.concatenate([np.ones(len(edges)), np.zeros(len(others))]).astype(np.float32)
    weights = np.where(labels == 1, 1.0, len(edges) / len(others)).astype(np.float32)
    return LabelledPairs(np.concatenate([edges, others]), labels, weights)


def fit_translator(train: Examples, valid: Examples, everything: Examples, config: TranslatorConfig) -> Fit:
    """Fit one MLP per probe, a product where there are embeddings, and calibrate their mean logit.

    The number of epochs, the penalty, the weights of the mean and the calibration are chosen on the validation
    pairs by parts that saw the training pairs only, and all metrics are theirs. The parts that are kept are then
    fitted on all pairs for that many epochs, with that penalty.

    Args:
        train, valid: sides that share no gene, as from `split_edges`.
        everything: all edges and their negatives.
        config: settings.
    """
    mlps, logits, metrics = {}, {}, {}
    product = None
    for probe, features in train.features.items():
        if probe == EMB:
            product, logits[EMB], metrics[EMB] = _fit_product(train, valid, everything)
            continue
        mlp, epochs, loss = _stop_early(features, train.pairs, valid.features[probe], valid.pairs, config)
        logits[probe] = mlp.logits(valid.features[probe])
        metrics[probe] = {"validation_auprc": auprc(valid.pairs, logits[probe]), "validation_loss": loss}
        metrics[probe]["epochs"] = epochs
        mlps[probe] = next(islice(_epochs(everything.features[probe], everything.pairs, config), epochs - 1, None))
    shares = _shares(logits, valid.pairs)
    ensemble: Array = np.stack([np.float32(shares[part]) * logits[part] for part in logits]).sum(0)
    calibration, chosen = choose_calibration(ensemble, valid.pairs.labels, valid.pairs.weights, config.seed)
    metrics["ensemble"] = {"validation_auprc": auprc(valid.pairs, ensemble)}
    metrics["calibration"] = chosen
    metrics["shares"] = shares
    counts = {
        f"{name}_{kind}": int((part.pairs.labels == label).sum())
        for name, part in (("train", train), ("validation", valid), ("all", everything))
        for kind, label in (("edges", 1), ("negatives", 0))
    }
    translator = Translator(mlps, calibration, 0.5, product, shares)
    return Fit(translator, {**metrics, "pairs": counts, "settings": asdict(config)})


def _fit_product(train: Examples, valid: Examples, everything: Examples) -> tuple[Product, Array, dict[str, float]]:
    """The product with the smallest validation loss, refitted on all pairs; its validation logits and metrics.

    A ridge-penalised logistic regression on products scaled to a mean square of one, so that the penalty draws all
    components towards the same weight on that scale, none at all.
    """
    tried = []
    for strength in STRENGTHS:
        logits = _logistic(train, strength).logits(valid.features[EMB])
        tried.append((_cross_entropy(logits, valid.pairs), strength, logits))
    loss, strength, logits = min(tried, key=lambda each: each[0])
    metrics = {"validation_auprc": auprc(valid.pairs, logits), "validation_loss": loss, "strength": strength}
    return _logistic(everything, strength), logits, metrics


def _logistic(examples: Examples, strength: float) -> Product:
    products = examples.features[EMB]
    scale = np.sqrt(np.mean(np.square(products), axis=0) + 1e-12)
    model = LogisticRegression(C=strength, max_iter=1000)
    model.fit(products / scale, examples.pairs.labels, sample_weight=examples.pairs.weights)
    return Product((model.coef_[0] / scale).astype(np.float32), model.intercept_.astype(np.float32))


def _shares(logits: Mapping[str, Array], valid: LabelledPairs) -> dict[str, float]:
    """Weights of the mean, summing to one: probes alike (the paper's Ensemble), the embeddings' against theirs by a
    logistic regression on the validation pairs."""
    probes = [part for part in logits if part != EMB]
    if EMB not in logits or not probes:
        return {part: 1.0 / len(logits) for part in logits}
    both = np.stack([np.mean([logits[part] for part in probes], axis=0), logits[EMB]], axis=1)
    model = LogisticRegression(C=1e6).fit(both, valid.labels, sample_weight=valid.weights)
    of_probes, of_embeddings = np.maximum(model.coef_[0], 0.0) + 1e-6
    share = float(of_embeddings / (of_probes + of_embeddings))
    return {part: (1.0 - share) / len(probes) for part in probes} | {EMB: share}


def auprc(pairs: LabelledPairs, scores: Array) -> float:
    """Area under the precision-recall curve with classes of equal weight."""
    return float(average_precision_score(pairs.labels, scores, sample_weight=pairs.weights))


def _robust_scale(features: Array) -> tuple[Array, Array]:
    low, middle, high = np.percentile(features, [25, 50, 75], axis=0)
    scale = (high - low) / 1.349
    return middle.astype(np.float32), np.maximum(scale, 1e-6).astype(np.float32)


def _stop_early(
    features: Array, train: LabelledPairs, valid_features: Array, valid: LabelledPairs, config: TranslatorConfig
) -> tuple[Mlp, int, float]:
    """The MLP with the smallest validation loss, after how many epochs, and that loss."""
    best: tuple[Mlp, int, float] | None = None
    for epoch, mlp in enumerate(islice(_epochs(features, train, config), config.epochs), 1):
        loss = _cross_entropy(mlp.logits(valid_features), valid)
        if best is None or loss < best[2] - 1e-5:
            best = mlp, epoch, loss
        elif epoch - best[1] >= config.patience:
            break
    if best is None:
        message = f"{config.epochs} epochs asked for; expected at least one"
        raise InputError(message)
    return best


def _epochs(features: Array, pairs: LabelledPairs, config: TranslatorConfig) -> Iterator[Mlp]:
    """Train one MLP without end, yielding it after every epoch."""
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


def _cross_entropy(logits: Array, pairs: LabelledPairs) -> float:
    return float(np.average(np.logaddexp(0.0, logits) - pairs.labels * logits, weights=pairs.weights))
