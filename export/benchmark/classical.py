"""Classical network inference from a data set's own expression: the closed-world methods of the benchmark.

GENIE3 (Huynh-Thu et al. 2010, doi:10.1371/journal.pone.0012776), GRNBoost2 (Moerman et al. 2019,
doi:10.1093/bioinformatics/bty916), PIDC (Chan et al. 2017, doi:10.1016/j.cels.2017.08.014) and the absolute Pearson
and Spearman correlations. Each needs no training network and is one `Method`. Correlation and PIDC know no direction:
they score a pair of sources the same both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn import config_context
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.utils.parallel import Parallel, delayed

from ugrn.runtime.arrays import Array, Doubles, Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.progress import Progress, silent

from .pidc import bayesian_blocks, confidence, puc

Fit = Callable[[Array, Doubles, int], Doubles]  # predictors, values, seed: importances

WINDOW = 25


class Method(Protocol):
    """A way to score edges from expression alone.

    Args:
        expression: float32 ``[cells, genes]``, log-normalised, finite.
        sources: columns of the S candidate sources.
        n_jobs: parallel workers, as in scikit-learn. Scores do not depend on it.
        seed: of all random draws.
        progress: called with genes done and genes in all.

    Returns:
        Scores float32 ``[S, genes]``, higher for likelier edges, nan for a source against itself. Genes that do not
        vary score 0.

    Raises:
        InputError: expression or sources cannot be used.
    """

    def __call__(
        self, expression: Array, sources: Ids, n_jobs: int = 1, seed: int = 0, progress: Progress = silent
    ) -> Array: ...


def genie3(
    expression: Array, sources: Ids, n_jobs: int = 1, seed: int = 0, progress: Progress = silent, trees: int = 100
) -> Array:
    """GENIE3 ``[S, G]``: the variance of a target that the splits on a source explain, in a random forest of all.

    As published, targets have unit variance, trees are fully grown and each split sees the square root of the number
    of sources. Reduced: `trees`, 1,000 in the paper. 100 take about 0.24 s of one core per target (hHEP: 425 cells,
    448 sources). Scores converge slowly: over 100 of these targets, their rank correlation with 300 trees of another
    seed is 0.70 for 50 trees, 0.79 for 100 and 0.88 for 300; AUPRC on STRING is 2.1, 2.3 and 2.5 times chance.
    """
    return _regress(partial(_forest, trees=trees), expression, sources, n_jobs, seed, progress)


def grnboost2(expression: Array, sources: Ids, n_jobs: int = 1, seed: int = 0, progress: Progress = silent) -> Array:
    """GRNBoost2 ``[S, G]``: importance of a source in gradient boosting of a target, times the number of trees.

    Published settings: learning rate 0.01, trees of depth 3, each split sees a tenth of the sources, each tree nine
    tenths of the cells; at most 5,000 trees, and no more once the last 25 have on average raised the out-of-bag error.
    About 180 trees and 0.45 s of one core per target (hHEP).
    """
    return _regress(_boosting, expression, sources, n_jobs, seed, progress)


def pidc(expression: Array, sources: Ids, n_jobs: int = 1, seed: int = 0, progress: Progress = silent) -> Array:
    """PIDC ``[S, G]``: two genes' information that no third one shares, set against what is usual for either gene.

    As published: Bayesian blocks, maximum-likelihood probabilities, all triples of genes, gamma distributions. Exact,
    and a matter of seconds (see `summed_minima`): `seed` and `n_jobs` have no effect.
    """
    expression, sources = _checked(expression, sources)
    bins = np.stack([bayesian_blocks(column) for column in expression.T], axis=1)
    return _without_self(confidence(puc(bins, progress))[sources], sources)


def pearson(expression: Array, sources: Ids, n_jobs: int = 1, seed: int = 0, progress: Progress = silent) -> Array:
    """Absolute Pearson correlations ``[S, G]``."""
    expression, sources = _checked(expression, sources)
    return _correlation(expression.astype(np.float64), sources, progress)


def spearman(expression: Array, sources: Ids, n_jobs: int = 1, seed: int = 0, progress: Progress = silent) -> Array:
    """Absolute Spearman correlations ``[S, G]``; ties, such as all zeros of a gene, share their mean rank."""
    expression, sources = _checked(expression, sources)
    return _correlation(rankdata(expression, axis=0), sources, progress)


METHODS: Mapping[str, Method] = {
    "GENIE3": genie3,
    "GRNBoost2": grnboost2,
    "PIDC": pidc,
    "Pearson": pearson,
    "Spearman": spearman,
}

SLOW = ("GENIE3", "GRNBoost2")  # hundreds of trees per target: the benchmark asks them for its smallest panel


def _correlation(values: Doubles, sources: Ids, progress: Progress) -> Array:
    varies = np.ptp(values, axis=0) > 0
    centred = (values - values.mean(axis=0)) * varies  # rounding leaves a trace in constant genes
    unit = centred / np.where(varies, np.linalg.norm(centred, axis=0), 1)
    progress(values.shape[1], values.shape[1])
    return _without_self(np.abs(unit[:, sources].T @ unit), sources)


def _regress(fit: Fit, expression: Array, sources: Ids, n_jobs: int, seed: int, progress: Progress) -> Array:
    """Importance of every source in a regression of each gene on all other sources."""
    expression, sources = _checked(expression, sources)
    genes = expression.shape[1]
    varies = np.ptp(expression, axis=0) > 0
    targets = [gene for gene in range(genes) if varies[gene] and (sources != gene).any()]
    scores = np.zeros((len(sources), genes))
    # Processes: trees of a few hundred cells are so small that threads wait for the interpreter's lock.
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    found = run(delayed(_importance)(fit, expression, sources, target, seed) for target in targets)
    for done, (target, importance) in enumerate(zip(targets, found, strict=True), 1):
        scores[sources != target, target] = importance
        progress(done, len(targets))
    return _without_self(scores, sources)


def _importance(fit: Fit, expression: Array, sources: Ids, target: int, seed: int) -> Doubles:
    values = expression[:, target].astype(np.float64)
    draw = int(np.random.SeedSequence([seed, target]).generate_state(1)[0])
    with config_context(assume_finite=True, skip_parameter_validation=True):  # thousands of small trees
        return fit(expression[:, sources[sources != target]], values / values.std(), draw)


def _forest(predictors: Array, values: Doubles, seed: int, trees: int) -> Doubles:
    model = RandomForestRegressor(trees, max_features="sqrt", random_state=seed).fit(predictors, values)
    each = [tree.tree_.compute_feature_importances(normalize=False) for tree in model.estimators_]
    return np.asarray(np.mean(each, axis=0))


def _boosting(predictors: Array, values: Doubles, seed: int) -> Doubles:
    model = GradientBoostingRegressor(
        learning_rate=0.01, n_estimators=5000, max_depth=3, max_features=0.1, subsample=0.9, random_state=seed
    ).fit(predictors, values, monitor=_until_stalled())
    return np.asarray(model.feature_importances_ * len(model.estimators_))


def _until_stalled() -> Callable[[int, GradientBoostingRegressor, Mapping[str, Any]], bool]:
    """A monitor for scikit-learn that is true once the last trees have on average raised the out-of-bag error."""
    gains: list[float] = []

    def stalled(tree: int, model: GradientBoostingRegressor, state: Mapping[str, Any]) -> bool:
        # Not `model.oob_improvement_`: scikit-learn 1.9 takes the error before a tree from other cells than the error
        # after it, and that noise stops most fits within 30 trees.
        outside = ~state["sample_mask"]
        after = state["y"][outside] - state["raw_predictions"][outside, 0]
        before = after + model.learning_rate * model.estimators_[tree, 0].tree_.predict(state["X"][outside])[:, 0]
        gains.append(np.mean(before**2 - after**2))
        return len(gains) >= WINDOW and float(np.mean(gains[-WINDOW:])) < 0

    return stalled


def _without_self(scores: NDArray[Any], sources: Ids) -> Array:
    scores = scores.astype(np.float32)
    scores[np.arange(len(sources)), sources] = np.nan
    return scores


def _checked(expression: Array, sources: Ids) -> tuple[Array, Ids]:
    expression, sources = np.asarray(expression, np.float32), np.asarray(sources, np.int64)
    if expression.ndim != 2 or min(expression.shape) < 2 or not np.isfinite(expression).all():
        message = (
            f"found expression of shape {expression.shape}, {np.sum(~np.isfinite(expression))} values not finite; "
            "expected at least two cells (rows) and two genes (columns), all finite; mend the expression file"
        )
        raise InputError(message)
    if sources.ndim != 1 or not ((sources >= 0) & (sources < expression.shape[1])).all():
        message = f"found sources {sources}; expected a list of columns, 0 to {expression.shape[1] - 1}"
        raise InputError(message)
    return expression, sources
