"""The methods of the benchmark, in groups that share their work. A group gives a data set one score matrix ``[S, G]``
per method, nan where a gene is not known, and probabilities where it has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.genes.names import GeneNames
from ugrn.runtime.progress import Progress
from ugrn.runtime.translator.translator import EMB, Translator

from ..training.examples import TranslatorConfig
from ..training.translator import fit_on_edges
from . import classical
from .datasets import DataSet, Network
from .features import PairFeatures, known_block, known_ids, spread

Kind = Literal["paper", "control", "classical"]
SOURCES_AT_ONCE = 8


@dataclass(frozen=True)
class Scored:
    """The scores of a group for one data set: score and probability matrices ``[S, G]`` by method."""

    scores: Mapping[str, Array]
    probabilities: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Methods that are scored together.

    Attributes:
        name: of the group, for its file.
        kinds: kind of each method.
        score: scores of a data set; without a method, or with none, where the data set lacks what it needs.
    """

    name: str
    kinds: Mapping[str, Kind]
    score: Callable[[DataSet, Progress], Scored]


@dataclass(frozen=True)
class Training:
    """The network that translators are trained on."""

    data: DataSet
    network: Network
    config: TranslatorConfig


def direct(name: str, kind: Kind, score: Callable[[DataSet], Array | None]) -> Group:
    """A method that needs no training; its scores are ``[S, G]``."""

    def scored(data: DataSet, report: Progress) -> Scored:
        values = score(data)
        return Scored({} if values is None else {name: values})

    return Group(name, {name: kind}, scored)


def translated(
    name: str,
    kind: Kind,
    features: PairFeatures,
    names: GeneNames,
    training: Training,
    columns: Mapping[str, str],
    ensembles: Mapping[str, tuple[str, ...]],
) -> Group:
    """Methods that are a translator over features, fitted on the training network when first asked.

    Args:
        name, kind: of the group and of its methods.
        features: of pairs.
        names: the vocabulary that decides which genes are known.
        training: where the translator learns.
        columns: translator part -> name of the method that is this part alone.
        ensembles: name of a method -> the parts whose mean it is; it also gets probabilities.
    """
    fitted: dict[tuple[str, ...], Translator] = {}

    def fit(parts: tuple[str, ...]) -> Translator:
        if parts not in fitted:
            data, ids = training.data, known_ids(names, training.data)
            edges = training.network.edges
            edges = edges[(ids[edges] >= 0).all(1) & (edges[:, 0] != edges[:, 1])]

            def of_pairs(pairs: Ids) -> dict[str, Array]:
                found = features(data, pairs[:, 0], pairs[:, 1])
                return {part: found[part] for part in parts}

            fitted[parts] = fit_on_edges(edges, of_pairs, training.config).translator
        return fitted[parts]

    def scored(data: DataSet, report: Progress) -> Scored:
        every = tuple(dict.fromkeys([*columns, *(part for parts in ensembles.values() for part in parts)]))
        logits = _logits(fit(every), features, names, data, every)
        scores = {method: logits[part] for part, method in columns.items()}
        probabilities = {}
        for method, parts in ensembles.items():
            found = fit(parts).probabilities({part: logits[part].ravel() for part in parts})
            probabilities[method] = found.reshape(next(iter(logits.values())).shape)
        return Scored(scores | probabilities, probabilities)

    return Group(name, dict.fromkeys([*columns.values(), *ensembles], kind), scored)


def _logits(
    translator: Translator, features: PairFeatures, names: GeneNames, data: DataSet, parts: tuple[str, ...]
) -> dict[str, Array]:
    """Logits ``[S, G]`` of every part, some sources at a time."""
    ids, rows, columns = known_block(names, data)
    out = {part: np.full((len(data.sources), len(ids)), np.nan, np.float32) for part in parts}
    for first in range(0, len(rows), SOURCES_AT_ONCE):
        block = rows[first : first + SOURCES_AT_ONCE]
        sources, targets = np.repeat(data.sources[block], len(columns)), np.tile(columns, len(block))
        found = features(data, sources, targets)
        for part in parts:
            fit = translator.product if part == EMB else translator.mlps[part]
            if fit is not None:
                out[part][np.ix_(block, columns)] = fit.logits(found[part]).reshape(len(block), len(columns))
    return out


def classical_group(name: str, jobs: int, seed: int) -> Group:
    """A closed-world method on the data set's own expression; nothing where that is not at hand."""

    def scored(data: DataSet, report: Progress) -> Scored:
        if data.expression is None:
            return Scored({})
        measured = np.flatnonzero(~np.isnan(data.expression).any(0))
        if name in classical.SLOW:
            measured = np.intersect1d(measured, data.of_smallest_panel)
        rows = np.flatnonzero(np.isin(data.sources, measured))
        places = np.searchsorted(measured, data.sources[rows])
        found = classical.METHODS[name](data.expression[:, measured], places, jobs, seed, report)
        return Scored({name: spread(found, rows, measured, data)})

    return Group(name, {name: "classical"}, scored)
