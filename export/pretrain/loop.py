"""Pretraining of the mini backbone: predict hidden values from a few visible genes.

A step draws rows from all sources, shows K genes of each (K log-uniform in 1..32) and asks for the z-scores
of several hundred genes through the mvc head; every fourth step it also asks for a few masked tokens through
the query stream. The virtual cell that is probed later, `<cls>` and a source, is therefore a state the model
was trained on, and M_j is the conditional mean of j given the source. Batches depend on seed and step alone,
so a resumed run ends where an uninterrupted one does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ugrn.runtime.arrays import Array

from ..backbones.mini import LearnedGenes, MiniBackbone, MiniConfig
from ..model.streams import Context, encode
from ..training.resume import ResumeFile, digest, learning_rate
from .corpus import Corpus
from .sampling import Batch, PretrainConfig, Sampler

QUERY_EVERY = 4
EVAL_STEP = 1 << 40


@dataclass(frozen=True)
class TrainingStatus:
    """Step, steps, mean loss since the last report, and held-out scores where they were measured."""

    step: int
    steps: int
    loss: float
    held_out: dict[str, float] | None


def predict(model: MiniBackbone, batch: Batch, queries: int = 0) -> tuple[Tensor, Tensor | None]:
    """Predictions of the mvc head ``[B, P]``, and of the token head ``[B, queries]`` for the panel's first genes."""
    count = len(batch.genes)
    cls = model.cls_token().expand(count, 1, model.config.width)
    tokens = torch.cat([cls, model.embed(batch.genes, batch.values)], dim=1)  # [B, 1 + K, d]
    asked = None
    if queries:
        asked = model.embed_valueless(batch.panel[:queries], "masked").expand(count, queries, model.config.width)
    cell, answered = encode(model.layers("masked"), Context(tokens), slice(0, 1), asked)
    tokenwise = None if answered is None else model.decode(answered, batch.wanted[:, :queries])
    return model.decode_cell(cast(Tensor, cell)[:, 0], batch.panel), tokenwise


def _loss(model: MiniBackbone, batch: Batch, queries: int) -> Tensor:
    cellwise, tokenwise = predict(model, batch, queries)
    loss = _masked_mse(cellwise, batch.wanted, batch.counts)
    if tokenwise is not None:
        loss = loss + 0.5 * _masked_mse(tokenwise, batch.wanted[:, :queries], batch.counts[:, :queries])
    return loss


def _masked_mse(found: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    weight = counts.float()
    return ((found.float() - wanted).square() * weight).sum() / weight.sum().clamp(min=1.0)


@torch.no_grad()
def evaluate(model: MiniBackbone, corpus: Corpus, config: PretrainConfig, batches: int = 16) -> dict[str, float]:
    """Held-out masked MSE, and R2 against predicting every gene's mean, at several numbers of visible genes."""
    sampler = Sampler(corpus, config, held_out=True)
    scores: dict[str, float] = {}
    for visible in sorted({1, 4, config.most_visible}):
        cells, tokens = np.zeros(3), np.zeros(3)
        for index in range(batches):
            batch = sampler.draw(EVAL_STEP + index, config.queries, visible)
            cellwise, tokenwise = predict(model, batch, config.queries)
            cells += _sums(cellwise, batch.wanted, batch.counts)
            if tokenwise is not None:
                tokens += _sums(tokenwise, batch.wanted[:, : config.queries], batch.counts[:, : config.queries])
        error, spread, count = cells.tolist()
        scores[f"mse_{visible}"] = error / count
        scores[f"r2_{visible}"] = 1.0 - error / spread
        if config.queries:
            scores[f"token_r2_{visible}"] = 1.0 - float(tokens[0] / tokens[1])
    return scores


def _sums(found: Tensor, wanted: Tensor, counts: Tensor) -> tuple[float, float, float]:
    """Squared errors, squares, and the number of the values that count."""
    weight = counts.float()
    error, spread = (found - wanted).square() * weight, wanted.square() * weight
    return float(error.sum()), float(spread.sum()), float(weight.sum())


def _optimiser(model: MiniBackbone, config: PretrainConfig) -> torch.optim.Optimizer:
    residual = [p for n, p in model.named_parameters() if n == "genes.residual.weight"]
    matrices = [p for n, p in model.named_parameters() if p.dim() > 1 and n != "genes.residual.weight"]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.decay},
        {"params": residual, "weight_decay": config.residual_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.98), fused=True)


def _take_step(
    step: int, model: MiniBackbone, optimiser: torch.optim.Optimizer, sampler: Sampler, config: PretrainConfig
) -> float:
    """One optimiser step; returns its loss."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(step, config.steps, config.rate)
    queries = config.queries if step % QUERY_EVERY == 0 else 0
    batch = sampler.draw(step, queries)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        loss = _loss(model, batch, queries)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def pretrain(
    corpus: Corpus,
    symbols: list[str],
    embeddings: Array,
    size: MiniConfig,
    config: PretrainConfig,
    resume_file: Path,
    report: Callable[[TrainingStatus], None],
    every: int = 500,
) -> tuple[MiniBackbone, dict[str, float]]:
    """Train a mini backbone.

    Args:
        corpus: expression on the vocabulary.
        symbols: V gene symbols.
        embeddings: ``[V, E]`` gene embeddings the gene tokens are projected from.
        size: of the backbone; its `text_width` is E.
        config: of the run.
        resume_file: training state, written every `every` steps and read where it exists.
        report: called every 50 steps.
        every: steps between held-out scores and saved states.

    Returns:
        The trained backbone with its finished gene table, and its held-out scores.

    Raises:
        InputError: `resume_file` is of a run with other settings.
    """
    torch.manual_seed(config.seed)
    model = MiniBackbone(size, symbols, LearnedGenes(torch.from_numpy(embeddings), size.width))
    optimiser = _optimiser(model, config)
    settings = json.dumps([asdict(config), asdict(size), digest(corpus.values, embeddings)])
    resume = ResumeFile(resume_file, settings)
    start = resume.load(model, optimiser)
    sampler = Sampler(corpus, config, held_out=False)
    losses: list[float] = []
    for step in range(start, config.steps):
        losses.append(_take_step(step, model, optimiser, sampler, config))
        done = step + 1
        if done % every == 0 and done < config.steps:
            resume.save(model, optimiser, done)
            report(TrainingStatus(done, config.steps, float(np.mean(losses)), evaluate(model, corpus, config)))
            losses.clear()
        elif done % 50 == 0:
            report(TrainingStatus(done, config.steps, float(np.mean(losses)), None))
    finished = model.finished()
    scores = evaluate(finished, corpus, config, batches=64)
    report(TrainingStatus(config.steps, config.steps, float(np.mean(losses or [math.nan])), scores))
    return finished, scores
