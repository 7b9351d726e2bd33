"""Measures of how well scores rank a network's edges, and of how sure that is.

Everything is about N pairs with ``labels [N]`` (1 edge, 0 not), ``scores [N]`` (higher is likelier an edge; infinite
is allowed, nan is not) and ``sources [N]`` (one integer per source gene). Tied scores are one threshold, so the
order in which pairs are listed never matters. What is undefined is nan; nan or unequal lengths raise `InputError`.

Intervals resample *sources* with replacement, since the pairs of one source are not independent of each other. A
source drawn k times gives each of its pairs the weight k; nothing is sorted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ugrn.runtime.arrays import Doubles, Ids
from ugrn.runtime.errors import InputError

BLOCK = 1 << 15  # weights handled at once: few enough for the processor's cache
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Ranking:
    """Pairs sorted by falling score, as made by `rank`: P edges, Q others, S sources, T distinct scores of edges.

    Row N and source S are nobody's. They weigh nothing and come first, so that running sums start at zero.
    """

    positives: Ids  # [1 + P] rows of the edges
    negatives: Ids  # [1 + Q] rows of the others
    found: Ids  # [1 + T] how many edges score at least as high as the threshold
    reached: Ids  # [1 + T] how many others do
    above: Ids  # [1 + T] how many others score strictly higher
    names: Ids  # [S] the distinct sources, sorted
    codes: Ids  # [N + 1] place of each row's source in `names`
    balanced: bool  # both classes weigh the same in total, so that chance AUPRC is 0.5

    def auprc(self, weights: ArrayLike | None = None) -> float:
        """Average precision: the sum over thresholds of the gain in recall times the precision.

        Args:
            weights: per pair ``[N]``, in the order given to `rank`, not negative; all one if absent. A balanced
                ranking scales them so that each class weighs one in total.
        """
        return float(self._areas(*self._sorted(weights))[0])

    def auroc(self, weights: ArrayLike | None = None) -> float:
        """The chance that an edge scores higher than another pair, ties counting one half; otherwise as `auprc`."""
        positive, negative = (np.cumsum(part[0]) for part in self._sorted(weights))
        edges, others = float(positive[-1]), float(negative[-1])
        if edges == 0 or others == 0:
            return float("nan")
        beaten = others - (negative[self.above] + negative[self.reached])[1:] / 2  # [T]
        return float(np.diff(positive[self.found]) @ beaten) / edges / others

    def auprc_of_draws(self, counts: Ids) -> Doubles:
        """AUPRC ``[D]`` under D sets of source counts ``[D, S + 1]``, of which the last column is zero."""
        positive, negative = self.codes[self.positives], self.codes[self.negatives]
        step = max(1, BLOCK // len(self.codes))
        blocks = (counts[start : start + step] for start in range(0, len(counts), step))
        return np.concatenate([self._areas(block.take(positive, 1), block.take(negative, 1)) for block in blocks])

    def _sorted(self, weights: ArrayLike | None) -> tuple[Doubles, Doubles]:
        """Weights of `positives` ``[1, 1 + P]`` and of `negatives` ``[1, 1 + Q]``."""
        ones = np.ones(len(self.codes) - 1)
        padded = np.append(_checked(ones, ones if weights is None else weights)[1], 0.0)
        return padded[None, self.positives], padded[None, self.negatives]

    def _areas(self, positive: NDArray[Any], negative: NDArray[Any]) -> Doubles:
        """AUPRC ``[D]`` of weights ``[D, 1 + P]`` and ``[D, 1 + Q]``; whole numbers are summed fastest and exactly."""
        positive, negative = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
        edges, others = positive[:, -1:].astype(np.float64), negative[:, -1:].astype(np.float64)
        hits = positive.take(self.found, 1).astype(np.float64)  # [D, 1 + T]
        listed = negative.take(self.reached, 1).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.balanced:
                listed *= edges / others
            listed += hits
            precision = hits / np.maximum(listed, TINY, out=listed)  # 0 while nothing is listed
            area = np.einsum("dt,dt->d", np.diff(hits), precision[:, 1:]) / edges[:, 0]
        return np.where(others[:, 0] > 0, area, np.nan)


def rank(labels: ArrayLike, scores: ArrayLike, sources: ArrayLike, balanced: bool) -> Ranking:
    """Sort pairs once, for any number of weightings."""
    label, score, _ = _checked(labels, scores, sources)
    names, codes = np.unique(sources, return_inverse=True)
    order = np.argsort(-score)
    is_edge = label[order] == 1
    positives, negatives = order[is_edge], order[~is_edge]
    edges, others = -score[positives], -score[negatives]  # both rising
    thresholds = np.unique(edges)
    return Ranking(
        positives=np.append(len(score), positives),
        negatives=np.append(len(score), negatives),
        found=np.append(0, np.searchsorted(edges, thresholds, "right")),
        reached=np.append(0, np.searchsorted(others, thresholds, "right")),
        above=np.append(0, np.searchsorted(others, thresholds, "left")),
        names=names,
        codes=np.append(codes, len(names)),
        balanced=balanced,
    )


def resampled_auprc(rankings: Sequence[Ranking], draws: int = 200, seed: int = 0) -> Doubles:
    """Mean AUPRC over rankings, ``[draws]``, each time under another draw of sources.

    The sources drawn from are those in any of the rankings, which may be several draws of negatives. With the same
    sources and `seed` the draws are the same, so results of two methods can be subtracted. A draw is nan that leaves
    a ranking without edges or without others, and so are all if there is only one source.
    """
    names = np.unique(np.concatenate([ranking.names for ranking in rankings]))
    width = len(names) + 1  # the last column is nobody's
    if len(names) < 2:
        return np.full(draws, np.nan)
    drawn = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    flat = (drawn + np.arange(draws)[:, None] * width).ravel()
    counts = np.bincount(flat, minlength=draws * width).reshape(draws, width)
    columns = [np.append(np.searchsorted(names, ranking.names), len(names)) for ranking in rankings]
    areas = [ranking.auprc_of_draws(counts[:, own]) for ranking, own in zip(rankings, columns, strict=True)]
    return np.asarray(np.mean(areas, axis=0))


def interval(values: Doubles) -> tuple[float, float]:
    """The 2.5 and 97.5 percentiles of resampled values ``[D]``; undefined draws are left out."""
    known = values[~np.isnan(values)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def bootstrap_auprc(rankings: Sequence[Ranking], draws: int = 200, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean AUPRC over rankings; see `resampled_auprc`."""
    return interval(resampled_auprc(rankings, draws, seed))


def within_source_auprc(labels: ArrayLike, scores: ArrayLike, sources: ArrayLike, balanced: bool) -> float:
    """Mean, over the sources that have both classes, of the AUPRC among that source's pairs alone.

    Knowing which sources have many edges does not help here. `balanced` is within each source.
    """
    label, score, _ = _checked(labels, scores, sources)
    names, codes = np.unique(sources, return_inverse=True)
    order = np.lexsort((-score, codes))
    edge, score, code = label[order] == 1, score[order], codes[order]
    edges, others = np.bincount(code[edge], minlength=len(names)), np.bincount(code[~edge], minlength=len(names))
    both = (edges > 0) & (others > 0)
    if not both.any():
        return float("nan")
    ends = np.append((code[1:] != code[:-1]) | (score[1:] != score[:-1]), True)  # the last pair of each tie
    code, found, false = code[ends], np.cumsum(edge)[ends], np.cumsum(~edge)[ends]
    hits, misses = found - (np.cumsum(edges) - edges)[code], false - (np.cumsum(others) - others)[code]
    scale = edges / np.maximum(others, 1) if balanced else np.ones(len(names))
    precision = hits / np.maximum(hits + scale[code] * misses, TINY)
    areas = np.bincount(code, np.diff(found, prepend=0) * precision)[both] / edges[both]
    return float(areas.mean())


def auprc_ratio(ranking: Ranking) -> float:
    """AUPRC over that of chance: over the share of edges, or over 0.5 if balanced.

    For all candidate pairs this is the AUPRC ratio of BEELINE (Pratapa et al. 2020, Nature Methods,
    doi:10.1038/s41592-019-0690-6), whose AUPRC, unlike this one, interpolates between thresholds.
    """
    edges, others = len(ranking.positives) - 1, len(ranking.negatives) - 1
    if edges == 0:
        return float("nan")
    return ranking.auprc() / (0.5 if ranking.balanced else edges / (edges + others))


def early_precision_ratio(labels: ArrayLike, scores: ArrayLike) -> float:
    """Precision among the k highest scores, k the number of edges, over the share of edges.

    The EPR of BEELINE (Pratapa et al. 2020, doi:10.1038/s41592-019-0690-6). Of the pairs tied at the cut, chance
    fills the places that are left, and this is the expectation; BEELINE's own code takes all of them.
    """
    label, score = _checked(labels, scores)
    edge = label == 1
    edges = int(edge.sum())
    if edges in (0, len(edge)):
        return float("nan")
    cut = np.partition(score, -edges)[-edges]
    above, tied = score > cut, score == cut
    hits = edge[above].sum() + (edges - above.sum()) * edge[tied].mean()
    return float(hits / edges / edge.mean())


def direction_accuracy(forward: ArrayLike, backward: ArrayLike) -> float:
    """Share of edges (i, j) that score higher than (j, i), no edge; ties count one half, scores are ``[E]``."""
    there, back = _checked(forward, backward)
    return float(((there > back) + (there == back) / 2).mean()) if len(there) else float("nan")


def _checked(*columns: ArrayLike) -> list[Doubles]:
    """The columns as float64, all of the same length and without nan."""
    arrays = [np.asarray(column, np.float64) for column in columns]
    if len({array.shape for array in arrays}) > 1:
        message = f"found columns of {[len(array) for array in arrays]} values; expected one value per pair in each"
        raise InputError(message)
    unknown = max(int(np.isnan(array).sum()) for array in arrays)
    if unknown:
        message = f"{unknown} of {len(arrays[0])} pairs have a nan; give every pair a number, or leave the pair out"
        raise InputError(message)
    return arrays
