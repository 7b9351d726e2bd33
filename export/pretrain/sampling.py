"""The draws of a pretraining step: rows from all sources, a few visible genes, a panel of asked ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .corpus import Corpus


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of one pretraining run.

    Attributes:
        steps: optimiser steps.
        tokens: tokens per step; few visible genes make many rows, so that every number of visible
            genes gets its share of the work.
        panel: genes whose value is asked for through the mvc head, per step.
        most_visible: largest number of visible genes.
        queries: masked tokens per row in the steps that train the token head.
        rate: peak learning rate (AdamW, linear warm-up, cosine to zero).
        decay: weight decay of matrices.
        residual_decay: weight decay of the genes' learned residuals, so that rarely seen genes rely on text.
        description_share: share of the rows that are drawn from the genes' descriptions instead of expression
            (`corpus.add_description_rows`), from 0 to below 1.
        bfloat16: multiply matrices in bfloat16, about twice as fast where the processor can.
        seed: of initial weights and batches.
    """

    steps: int = 11_000
    tokens: int = 4096
    panel: int = 512
    most_visible: int = 32
    queries: int = 8
    rate: float = 1.5e-3
    decay: float = 0.01
    residual_decay: float = 0.1
    description_share: float = 0.5
    bfloat16: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """B rows with K visible genes and P genes asked for."""

    genes: Tensor  # int64 [B, K]
    values: Tensor  # [B, K]
    panel: Tensor  # int64 [P]
    wanted: Tensor  # [B, P]
    counts: Tensor  # bool [B, P]: measured and not visible


class Sampler:
    """Draws batches that depend on (seed, step) alone."""

    def __init__(self, corpus: Corpus, config: PretrainConfig, held_out: bool) -> None:
        self.corpus = corpus
        self.config = config
        self.rows = np.flatnonzero(corpus.held_out == held_out)
        source = corpus.source[self.rows]
        weight = np.array([card.weight for card in corpus.cards])[source]
        share = weight / np.bincount(source, minlength=len(corpus.cards))[source]
        self.share = np.cumsum(share / share.sum())
        self.sizes = np.array([len(ids) for ids in corpus.measured])
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self.flat = np.concatenate(corpus.measured)

    def draw(self, step: int, queries: int, visible: int | None = None) -> Batch:
        """The batch of a step, with room for some queries, and a fixed number of visible genes where given."""
        rng = np.random.default_rng([self.config.seed, step])
        config = self.config
        if visible is None:
            visible = int(math.exp(rng.uniform(0.0, math.log(config.most_visible + 1))))
        count = max(1, config.tokens // (1 + visible + queries))
        at = np.searchsorted(self.share, rng.random(count), side="right")
        rows = self.rows[np.minimum(at, len(self.rows) - 1)]
        source = self.corpus.source[rows][:, None]
        pick = (rng.random((count, visible)) * self.sizes[source]).astype(np.int64)
        genes = self.flat[self.starts[source] + pick]  # [B, K]
        vocabulary = self.corpus.values.shape[1]
        panel = rng.choice(vocabulary, min(config.panel, vocabulary), replace=False)
        wanted = self.corpus.values[rows[:, None], panel].astype(np.float32)
        return Batch(
            torch.from_numpy(genes),
            torch.from_numpy(self.corpus.values[rows[:, None], genes].astype(np.float32)),
            torch.from_numpy(panel),
            torch.from_numpy(np.nan_to_num(wanted)),
            torch.from_numpy(~np.isnan(wanted) & ~(genes[:, :, None] == panel).any(1)),
        )
