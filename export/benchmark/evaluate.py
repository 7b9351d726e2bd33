"""One cell of the benchmark: a network of a data set, all regimes, groups and methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array, Doubles, Ids

from ..training.calibration import brier, calibration_error, reliability
from ..training.negatives import REGIMES, Regime, draw_negatives
from . import metrics
from .datasets import DataSet, Network
from .methods import Kind, Scored

Bounds = tuple[float | None, float | None]

GROUPS = ("all", "one unseen", "both unseen")  # all pairs; else a group's place is its number of unseen genes
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
        return np.ones(len(self.pairs), bool) if group == "all" else self.unseen == GROUPS.index(group)


def evaluate(cell: Cell, protocol: Protocol) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All results of a cell, one row per regime, group, method and metric; and its reliability bins."""
    edges = cell.edges
    rows: list[dict[str, Any]] = []
    bins: list[dict[str, Any]] = []
    if len(edges) < FEWEST_EDGES:
        return rows, bins
    for regime in (*REGIMES, NATURAL):
        samples = list(_samples(cell, edges, regime, protocol.seeds))
        for method, scores in _covering(cell, samples, cell.scored.scores):
            described = _describe(cell, regime, method)
            rows += [described | row for row in _ranked(cell, samples, scores, regime, protocol)]
        for method, probabilities in _covering(cell, samples, cell.scored.probabilities):
            described = _describe(cell, regime, method)
            rows += [described | row for row in _calibrated(cell, samples, probabilities, regime)]
            if regime == "degree-aware":
                bins.append(described | {"bins": _bins(cell, samples[0], probabilities)})
    for method, scores in cell.scored.scores.items():
        rows += [_describe(cell, NATURAL, method) | row for row in _direction(cell, edges, scores)]
    return rows, bins


def _describe(cell: Cell, regime: str, method: str) -> dict[str, Any]:
    """The columns that all results of a method in one regime share."""
    place = {"dataset": cell.data.name, "network": cell.network.name, "panel": cell.network.panel}
    left_out = len(cell.network.edges) - len(cell.edges)
    return place | {"edges_left_out": left_out, "regime": regime, "method": method, "kind": cell.kinds[method]}


def _bins(cell: Cell, sample: Sample, probabilities: Array) -> list[dict[str, float]]:
    """The bins of a reliability diagram."""
    found = reliability(sample.labels, _of_pairs(cell, sample, probabilities), _even(sample.labels))
    return [{"probability": b["probability"], "share": b["observed"], "weight": b["weight"]} for b in found]


def _row(counts: Mapping[str, Any], metric: str, seeds: list[float], bounds: Bounds = (None, None)) -> dict[str, Any]:
    low, high = bounds
    return {**counts, "metric": metric, "value": float(np.mean(seeds)), "seeds": seeds, "low": low, "high": high}


def _counts(group: str, labels: NDArray[np.int8], sources: Ids) -> dict[str, Any]:
    return {"group": group, "edges": int(labels.sum()), "pairs": len(labels), "sources": len(np.unique(sources))}


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


def _covering(cell: Cell, samples: list[Sample], matrices: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """The methods that score every pair: one that was given fewer genes is not compared with the others."""
    for method, matrix in matrices.items():
        if not any(np.isnan(_of_pairs(cell, sample, matrix)).any() for sample in samples):
            yield method, matrix


def _ranked(
    cell: Cell, samples: list[Sample], scores: Array, regime: str, protocol: Protocol
) -> Iterator[dict[str, Any]]:
    """Ranking metrics of one method in one regime, group by group."""
    balanced = regime != NATURAL
    values = [_of_pairs(cell, sample, scores) for sample in samples]
    for group in GROUPS:
        chosen = [sample.of_group(group) for sample in samples]
        if min(int(s.labels[c].sum()) for s, c in zip(samples, chosen, strict=True)) < FEWEST_EDGES:
            continue
        parts = [(s.labels[c], v[c], s.pairs[c, 0]) for s, c, v in zip(samples, chosen, values, strict=True)]
        rankings = [metrics.rank(*part, balanced) for part in parts]
        counts = _counts(group, parts[0][0], parts[0][2])
        draws = protocol.draws if balanced else min(protocol.draws, DRAWS_NATURAL)
        bounds = metrics.bootstrap_auprc(rankings, draws)
        found = {
            "AUPRC": [each.auprc() for each in rankings],
            "AUROC": [each.auroc() for each in rankings],
            "within-source AUPRC": [metrics.within_source_auprc(*part, balanced) for part in parts],
        }
        if not balanced:
            found["AUPRC ratio"] = [metrics.auprc_ratio(each) for each in rankings]
            found["EPR"] = [metrics.early_precision_ratio(part[0], part[1]) for part in parts]
        for metric, seeds in found.items():
            yield _row(counts, metric, seeds, bounds if metric == "AUPRC" else (None, None))


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
            counts = _counts(group, labels, samples[-1].pairs[chosen, 0])
            for metric, seeds in found.items():
                yield _row(counts, metric, seeds)


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
    yield _row(counts, "direction accuracy", [value])


def _even(labels: NDArray[np.int8]) -> Doubles:
    """Weights under which both classes weigh the same."""
    share = labels.mean()
    return np.asarray(np.where(labels == 1, 0.5 / share, 0.5 / (1.0 - share)))


def _shift(probabilities: Array, prevalence: float) -> Array:
    """Probabilities that were fitted at a prevalence of one half, at another."""
    odds = probabilities.astype(np.float64) / (1.0 - np.minimum(probabilities, np.float32(1 - 1e-7)))
    odds *= prevalence / (1.0 - prevalence)
    return np.asarray(odds / (1.0 + odds), np.float32)
