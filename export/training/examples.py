"""Labelled pairs of genes to fit translators on, split by gene, and how a fit on them is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.errors import InputError

from .negatives import Regime, draw_negatives


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
        embeddings: gene embeddings, where the artifact has them, join the probes.
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

    pairs: Ids
    labels: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True)
class Examples:
    """Labelled pairs and, per part of the translator, their features ``[N, F]``; those of `EMB` are products."""

    pairs: LabelledPairs
    features: Mapping[str, Array]


def split_edges(edges: Ids, config: TranslatorConfig) -> tuple[LabelledPairs, LabelledPairs]:
    """Training and validation pairs of edges ``[E, 2]`` that share no gene; edges between the two sides are left out.

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
    edges: Ids,
    genes: Ids,
    negatives: Regime,
    per_edge: int,
    rng: np.random.Generator,
    known: Ids | None = None,
) -> LabelledPairs:
    """Edges ``[E, 2]`` with `per_edge` negatives each, weighted so that both classes weigh the same in total.

    Negatives are drawn among `genes` ``[G]`` and are none of the `known` edges ``[K, 2]``.
    """
    drawn: list[Ids] = []
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


def auprc(pairs: LabelledPairs, scores: Array) -> float:
    """Area under the precision-recall curve of scores ``[N]``, with classes of equal weight."""
    return float(average_precision_score(pairs.labels, scores, sample_weight=pairs.weights))


def cross_entropy(logits: Array, pairs: LabelledPairs) -> float:
    """The weighted mean binary cross-entropy of logits ``[N]``."""
    return float(np.average(np.logaddexp(0.0, logits) - pairs.labels * logits, weights=pairs.weights))
