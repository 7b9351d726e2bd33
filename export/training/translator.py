"""Fitting a translator: two MLPs by binary cross-entropy, then a calibration map.

Edges are split by gene: validation pairs share no gene with training pairs, so early stopping and
calibration are judged on genes never seen. Both classes weigh the same whatever the number of negatives, so
the training prevalence is 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torch import nn

from ugrn.runtime import Scorer
from ugrn.runtime.errors import InputError
from ugrn.runtime.pairs import PairsLike
from ugrn.runtime.translator import Mlp, Translator

from .calibration import choose_calibration
from .negatives import Pairs, Regime, draw_negatives

Array = NDArray[np.float32]


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
    train, valid = split_edges(np.stack(resolved.gene_ids(rows), axis=1).astype(np.int64), config)
    both = np.concatenate([train.pairs, valid.pairs])
    features = scorer.features_of_ids(both[:, 0], both[:, 1], report)
    parts = [{probe: x[rows] for probe, x in features.items()} for rows in (slice(len(train)), slice(len(train), None))]
    fit = fit_translator(train, parts[0], valid, parts[1], config)
    skipped = {"given": len(resolved.pairs), "used": len(rows), "rejected": resolved.counts()}
    return Fit(fit.translator, fit.metrics | {"edges": skipped})


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


def fit_translator(
    train: LabelledPairs,
    train_features: Mapping[str, Array],
    valid: LabelledPairs,
    valid_features: Mapping[str, Array],
    config: TranslatorConfig,
) -> Fit:
    """Fit one MLP per probe and calibrate their mean logit on the validation pairs.

    Args:
        train, valid: pairs as from `split_edges`.
        train_features, valid_features: per probe ``[N, F]``, rows as the pairs.
        config: settings.
    """
    mlps, metrics = {}, {}
    for probe, features in train_features.items():
        mlps[probe], best = _fit_mlp(features, train, valid_features[probe], valid, config)
        metrics[probe] = {"validation_loss": best}
    logits = {probe: mlp.logits(valid_features[probe]) for probe, mlp in mlps.items()}
    for probe, values in logits.items():
        metrics[probe]["validation_auprc"] = auprc(valid, values)
    ensemble: Array = np.mean(np.stack(list(logits.values())), axis=0)
    calibration, chosen = choose_calibration(ensemble, valid.labels, valid.weights, config.seed)
    metrics["ensemble"] = {"validation_auprc": auprc(valid, ensemble)}
    metrics["calibration"] = chosen
    counts = {
        "train_edges": int(train.labels.sum()),
        "train_negatives": int((train.labels == 0).sum()),
        "validation_edges": int(valid.labels.sum()),
        "validation_negatives": int((valid.labels == 0).sum()),
    }
    return Fit(Translator(mlps, calibration, 0.5), {**metrics, "pairs": counts, "settings": asdict(config)})


def auprc(pairs: LabelledPairs, scores: Array) -> float:
    """Area under the precision-recall curve with classes of equal weight."""
    return float(average_precision_score(pairs.labels, scores, sample_weight=pairs.weights))


def _robust_scale(features: Array) -> tuple[Array, Array]:
    low, middle, high = np.percentile(features, [25, 50, 75], axis=0)
    scale = (high - low) / 1.349
    return middle.astype(np.float32), np.maximum(scale, 1e-6).astype(np.float32)


def _fit_mlp(
    features: Array,
    train: LabelledPairs,
    valid_features: Array,
    valid: LabelledPairs,
    config: TranslatorConfig,
) -> tuple[Mlp, float]:
    """Train one MLP and stop early; returns it and its best validation loss."""
    torch.manual_seed(config.seed)
    centre, scale = _robust_scale(features)
    x, held = (torch.from_numpy(np.arcsinh((part - centre) / scale)) for part in (features, valid_features))
    y, w = torch.from_numpy(train.labels), torch.from_numpy(train.weights)
    held_y, held_w = torch.from_numpy(valid.labels), torch.from_numpy(valid.weights)
    widths = (features.shape[1], *config.hidden, 1)
    linears = [nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    net = nn.Sequential(*[part for linear in linears for part in (linear, nn.Tanh())][:-1])
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=config.decay)
    best, waited = float("inf"), 0
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    for _ in range(config.epochs):
        for rows in torch.randperm(len(x)).split(config.batch):
            loss = nn.functional.binary_cross_entropy_with_logits(net(x[rows])[:, 0], y[rows], w[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            error = nn.functional.binary_cross_entropy_with_logits(net(held)[:, 0], held_y, held_w, reduction="sum")
        error_now = float(error / held_w.sum())
        if error_now < best - 1e-5:
            best, waited = error_now, 0
            kept = {name: value.clone() for name, value in net.state_dict().items()}
        else:
            waited += 1
            if waited >= config.patience:
                break
    net.load_state_dict(kept)
    weights = tuple(linear.weight.detach().numpy().T.copy() for linear in linears)
    biases = tuple(linear.bias.detach().numpy().copy() for linear in linears)
    return Mlp(centre, scale, weights, biases), best
