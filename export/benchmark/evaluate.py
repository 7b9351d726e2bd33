"""One cell of the benchmark: a network of a data set, all regimes, groups and methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array, Ids

from ..training.calibration import brier, calibration_error
from ..training.negatives import REGIMES, Regime, draw_negatives
from . import metrics
from .datasets import DataSet, Network
from .methods import Kind, Scored

GROUPS = ("all", "one unseen", "both unseen")
NATURAL = "natural"
FEWEST_EDGES = 10  # of a group, below which nothing is said
DRAWS_NATURAL = 50  # of the bootstrap over a million pairs


@dataclass(frozen=True)
class Protocol:
    """Settings of the evaluation of cells.

    Attributes:
        seeds: draws of negatives.
        draws: of the bootstrap over sources.
    """

    seeds: int = 5
    draws: int = 200


@dataclass(frozen=True)
class Cell:
    """A network and what every method says of its data set.

    Attributes:
        data, network: what is evaluated.
        known: bool ``[G]``, genes that can be asked; edges with others are counted and left out.
        unseen: bool ``[G]``, genes that no edge of the training network has.
        scored: all methods' matrices ``[S, G]``.
        kinds: kind of each method.
    """

    data: DataSet
    network: Network
    known: NDArray[np.bool_]
    unseen: NDArray[np.bool_]
    scored: Scored
    kinds: Mapping[str, Kind]

    @property
    def edges(self) -> Ids:
        """Known edges ``[E, 2]`` that are no self-pairs."""
        edges = self.network.edges
        keep = self.known[edges].all(1) & (edges[:, 0] != edges[:, 1])
        return np.asarray(edges[keep], np.int64)


@dataclass(frozen=True)
class Sample:
    """Labelled pairs of one draw: places ``[N, 2]``, labels ``[N]``, number of unseen genes ``[N]``."""

    pairs: Ids
    labels: NDArray[np.int8]
    unseen: NDArray[np.int8]

    def of_group(self, group: str) -> NDArray[np.bool_]:
        """Bool ``[N]``, the pairs of a group."""
        wanted = {"one unseen": 1, "both unseen": 2}
        return np.ones(len(self.pairs), bool) if group == "all" else self.unseen == wanted[group]


def evaluate(cell: Cell, protocol: Protocol) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All results of a cell, one row per regime, group, method and metric; and its reliability bins."""
    edges = cell.edges
    rows: list[dict[str, Any]] = []
    reliability: list[dict[str, Any]] = []
    metadata = {"network": cell.network.name, "panel": cell.network.panel}
    metadata = {"dataset": cell.data.name, **metadata, "edges_left_out": len(cell.network.edges) - len(edges)}
    if len(edges) < FEWEST_EDGES:
        return rows, reliability
    for regime in (*REGIMES, NATURAL):
        samples = list(_samples(cell, edges, regime, protocol.seeds))
        for method, scores in cell.scored.scores.items():
            if not all(_covers(cell, sample, scores) for sample in samples):
                continue
            described = metadata | {"regime": regime, "method": method, "kind": cell.kinds[method]}
            rows += [described | row for row in _ranked(cell, samples, scores, regime, protocol)]
        for method, probabilities in cell.scored.probabilities.items():
            if not all(_covers(cell, sample, probabilities) for sample in samples):
                continue
            described = metadata | {"regime": regime, "method": method, "kind": cell.kinds[method]}
            rows += [described | row for row in _calibrated(cell, samples, probabilities, regime)]
            if regime == "degree-aware":
                values = _of_pairs(cell, samples[0], probabilities)
                bins = metrics.reliability(samples[0].labels, values, _even(samples[0].labels))
                listed = [
                    {"probability": b["probability"], "share": b["observed"], "weight": b["weight"]} for b in bins
                ]
                reliability.append(described | {"bins": listed})
    for method, scores in cell.scored.scores.items():
        described = metadata | {"regime": NATURAL, "method": method, "kind": cell.kinds[method]}
        rows += [described | row for row in _direction(cell, edges, scores)]
    return rows, reliability


def _samples(cell: Cell, edges: Ids, regime: Regime | str, seeds: int) -> Iterator[Sample]:
    genes = cell.network.genes[cell.known[cell.network.genes]]
    sources = cell.network.sources[cell.known[cell.network.sources]]
    if regime == NATURAL:
        pairs = np.stack([np.repeat(sources, len(genes)), np.tile(genes, len(sources))], axis=1)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        span = len(cell.data.genes)
        labels = np.isin(pairs[:, 0] * span + pairs[:, 1], edges[:, 0] * span + edges[:, 1])
        yield _sample(cell, pairs, labels)
        return
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 7])
        negatives = draw_negatives(edges, genes, regime, rng, sources=sources)  # type: ignore[arg-type]
        labels = np.repeat([True, False], [len(edges), len(negatives)])
        yield _sample(cell, np.concatenate([edges, negatives]), labels)


def _sample(cell: Cell, pairs: Ids, labels: NDArray[np.bool_]) -> Sample:
    return Sample(pairs, labels.astype(np.int8), cell.unseen[pairs].sum(1).astype(np.int8))


def _of_pairs(cell: Cell, sample: Sample, matrix: Array) -> Array:
    out: Array = matrix[cell.data.rows[sample.pairs[:, 0]], sample.pairs[:, 1]]
    return out


def _covers(cell: Cell, sample: Sample, scores: Array) -> bool:
    """True where a method scores every pair: one that was given fewer genes is not compared with the others."""
    return not bool(np.isnan(_of_pairs(cell, sample, scores)).any())


def _ranked(
    cell: Cell, samples: list[Sample], scores: Array, regime: str, protocol: Protocol
) -> Iterator[dict[str, Any]]:
    """Ranking metrics of one method in one regime, group by group."""
    balanced = regime != NATURAL
    values = [_of_pairs(cell, sample, scores) for sample in samples]
    for group in GROUPS:
        chosen = [sample.of_group(group) for sample in samples]
        edges = int(samples[0].labels[chosen[0]].sum())
        if min(int(s.labels[c].sum()) for s, c in zip(samples, chosen, strict=True)) < FEWEST_EDGES:
            continue
        parts = [(s.labels[c], v[c], s.pairs[c, 0]) for s, c, v in zip(samples, chosen, values, strict=True)]
        rankings = [metrics.rank(*part, balanced) for part in parts]
        counts = {"group": group, "edges": edges, "pairs": int(chosen[0].sum())}
        counts["sources"] = len(np.unique(parts[0][2]))
        draws = protocol.draws if balanced else min(protocol.draws, DRAWS_NATURAL)
        low, high = metrics.bootstrap_auprc(rankings, draws)
        found = {
            "AUPRC": [each.auprc() for each in rankings],
            "AUROC": [each.auroc() for each in rankings],
            "within-source AUPRC": [metrics.within_source_auprc(*part, balanced) for part in parts],
        }
        if not balanced:
            found["AUPRC ratio"] = [metrics.auprc_ratio(each) for each in rankings]
            found["EPR"] = [metrics.early_precision_ratio(part[0], part[1]) for part in parts]
        for metric, seeds in found.items():
            bounds = {"low": low, "high": high} if metric == "AUPRC" else {"low": None, "high": None}
            yield counts | {"metric": metric, "value": float(np.mean(seeds)), "seeds": seeds} | bounds


def _calibrated(cell: Cell, samples: list[Sample], probabilities: Array, regime: str) -> Iterator[dict[str, Any]]:
    """Expected calibration error and Brier score, at the true prevalence of the pairs: half with drawn negatives, and
    the share of edges among all candidates, to which the probabilities are shifted (Saerens et al. 2002)."""
    for group in GROUPS:
        found: dict[str, list[float]] = {"ECE": [], "Brier": []}
        for sample in samples:
            chosen = sample.of_group(group)
            labels, values = sample.labels[chosen], _of_pairs(cell, sample, probabilities)[chosen]
            if labels.sum() < FEWEST_EDGES:
                break
            weights = np.ones(len(labels)) if regime == NATURAL else _even(labels)
            if regime == NATURAL:
                values = _shift(values, float(labels.mean()))
            found["ECE"].append(calibration_error(labels, values, weights))
            found["Brier"].append(brier(labels, values, weights))
        else:
            counts = {"group": group, "edges": int(labels.sum()), "pairs": len(labels)}
            counts["sources"] = len(np.unique(samples[-1].pairs[chosen, 0]))
            for metric, seeds in found.items():
                yield (
                    counts
                    | {"metric": metric, "value": float(np.mean(seeds)), "seeds": seeds}
                    | {
                        "low": None,
                        "high": None,
                    }
                )


def _direction(cell: Cell, edges: Ids, scores: Array) -> Iterator[dict[str, Any]]:
    """Share of the edges without their reverse that score above it, among edges between two candidate sources."""
    row = cell.data.rows
    span = len(cell.data.genes)
    reverse = np.isin(edges[:, 1] * span + edges[:, 0], edges[:, 0] * span + edges[:, 1])
    lone = edges[~reverse & (row[edges[:, 1]] >= 0)]
    forward, backward = scores[row[lone[:, 0]], lone[:, 1]], scores[row[lone[:, 1]], lone[:, 0]]
    both = ~np.isnan(forward) & ~np.isnan(backward)
    if both.sum() < FEWEST_EDGES or not both.all():
        return
    value = metrics.direction_accuracy(forward, backward)
    counts = {"group": "all", "edges": len(lone), "pairs": 2 * len(lone), "sources": len(np.unique(lone[:, 0]))}
    yield counts | {"metric": "direction accuracy", "value": value, "seeds": [value], "low": None, "high": None}


def _even(labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """Weights under which both classes weigh the same."""
    share = labels.mean()
    return np.asarray(np.where(labels == 1, 0.5 / share, 0.5 / (1.0 - share)))


def _shift(probabilities: Array, prevalence: float) -> Array:
    """Probabilities that were fitted at a prevalence of one half, at another."""
    odds = probabilities.astype(np.float64) / (1.0 - np.minimum(probabilities, np.float32(1 - 1e-7)))
    odds *= prevalence / (1.0 - prevalence)
    return np.asarray(odds / (1.0 + odds), np.float32)
