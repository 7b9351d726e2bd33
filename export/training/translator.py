"""Fitting a translator: two MLPs by binary cross-entropy, perhaps a product of embeddings, then a calibration map.

Edges are split by gene: validation pairs share no gene with training pairs, so early stopping and
calibration are judged on genes never seen; the MLPs that are kept are fitted on all edges. Both classes
weigh the same whatever the number of negatives, so the training prevalence is 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from ugrn.runtime import Scorer
from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.files.pairs import PairsLike
from ugrn.runtime.progress import Progress
from ugrn.runtime.translator.translator import EMB, Translator

from .calibration import choose_calibration
from .examples import Examples, TranslatorConfig, auprc, labelled, split_edges
from .parts import fit_product, fit_shares, stop_early, train_epochs


@dataclass(frozen=True)
class Fit:
    """A fitted translator and its validation metrics."""

    translator: Translator
    metrics: dict[str, Any]


def train_on_network(scorer: Scorer, edges: PairsLike, config: TranslatorConfig, progress: Progress) -> Fit:
    """Fit a translator for an artifact on a network.

    Args:
        scorer: of the artifact.
        edges: the network's true edges, as a pair list.
        config: settings.
        progress: called with pairs probed and pairs in all.

    Raises:
        InputError: too few usable edges.
    """
    resolved = scorer.resolve(edges)
    rows = resolved.sorted_rows
    ids = np.stack(resolved.gene_ids(rows), axis=1).astype(np.int64)
    embeddings = scorer.artifact.embeddings if config.embeddings else None

    def features(pairs: Ids) -> dict[str, Array]:
        found = scorer.features_of_ids(pairs[:, 0], pairs[:, 1], progress)
        if embeddings is not None:
            left, right = (embeddings[pairs[:, side]].astype(np.float32) for side in (0, 1))
            found[EMB] = left * right
        return found

    fit = fit_on_edges(ids, features, config)
    used = {"given": len(resolved.pairs), "used": len(rows), "rejected": resolved.counts()}
    return Fit(fit.translator, fit.metrics | {"edges": used})


def fit_on_edges(edges: Ids, features: Callable[[Ids], Mapping[str, Array]], config: TranslatorConfig) -> Fit:
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
            product, logits[EMB], metrics[EMB] = fit_product(train, valid, everything)
            continue
        mlp, epochs, loss = stop_early(features, train.pairs, valid.features[probe], valid.pairs, config)
        logits[probe] = mlp.logits(valid.features[probe])
        metrics[probe] = {"validation_auprc": auprc(valid.pairs, logits[probe]), "validation_loss": loss}
        metrics[probe]["epochs"] = epochs
        mlps[probe] = next(islice(train_epochs(everything.features[probe], everything.pairs, config), epochs - 1, None))
    shares = fit_shares(logits, valid.pairs)
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
