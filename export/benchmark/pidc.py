"""The steps of PIDC (Chan et al. 2017, doi:10.1016/j.cels.2017.08.014)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import gamma

from ugrn.runtime.arrays import Array, Doubles, Ids
from ugrn.runtime.progress import Progress, silent


def bayesian_blocks(values: NDArray[Any]) -> Ids:
    """Bins of uneven width, by how the density of `values` ``[N]`` changes.

    The fittest partition of the sorted distinct values, found by dynamic programming: fitness for event data, prior
    for a false-alarm rate of 0.05 (Scargle et al. 2013, doi:10.1088/0004-637X/764/2/167, equations 19 and 21; as in
    PIDC's own program, the prior's N is the number of distinct values so far).

    Returns:
        The bin of each value, from 0.
    """
    distinct, counts = np.unique(values.astype(np.float64), return_counts=True)
    if len(distinct) == 1:
        return np.zeros(len(values), np.int64)
    edges = np.concatenate([distinct[:1], (distinct[1:] + distinct[:-1]) / 2, distinct[-1:]])
    below = np.concatenate([[0], np.cumsum(counts)])
    best = np.zeros(len(edges))  # fitness of the best partition of everything below an edge
    start = np.zeros(len(edges), np.int64)  # where that partition's last block begins
    for end in range(1, len(edges)):
        inside = below[end] - below[:end]
        fitness = best[:end] + inside * np.log(inside / (edges[end] - edges[:end]))
        start[end] = fitness.argmax()
        best[end] = fitness.max() - (4 - np.log(73.53 * 0.05 * end**-0.478))
    cuts: list[float] = []
    end = start[-1]
    while end > 0:
        cuts.insert(0, edges[end])
        end = start[end]
    return np.searchsorted(cuts, values, side="right")


def puc(bins: Ids, progress: Progress = silent) -> Doubles:
    """Proportional unique contribution of all pairs of genes.

    For genes X and Z, the sum over all third genes Y of ``1 - R(Z; X, Y) / I(X; Z)``, and the same with X and Z
    swapped (Chan et al. 2017). R is the redundancy of Williams and Beer (2010, arXiv:1004.2515): the expected
    minimum of the specific information that X and Y have about the bins of Z. As R never exceeds I, the sum over Y
    needs only the sum of the redundancies.

    Args:
        bins: of each cell in each gene, from 0, ``[cells, genes]``.
        progress: called with genes done and genes in all.

    Returns:
        Symmetric ``[genes, genes]`` with a diagonal of 0; 0 also where two genes share no information.
    """
    cells, genes = bins.shape
    members = (bins[:, :, None] == np.arange(bins.max() + 1)).astype(np.float32)
    shares = np.zeros((genes, genes))
    for target in range(genes):
        weights, information = specific_information(members, target)
        information[:, target] = 0  # the target is no third gene
        shared = weights @ information
        redundant = weights @ summed_minima(information)
        known = shared > 1e-12
        share = genes - 2 - redundant[known] / shared[known]
        shares[target, known] = np.where(share > 1e-9 * genes, share, 0)  # what is below is rounding
        progress(target + 1, genes)
    return shares + shares.T


def specific_information(members: Array, target: int) -> tuple[Doubles, Doubles]:
    """The information of each gene X about each bin z of a target: ``sum_x p(x|z) log(p(x|z) / p(x))``, in nats.

    Args:
        members: 1 where a cell's value of a gene is in a bin, else 0, ``[cells, genes, bins]``.
        target: gene.

    Returns:
        Probabilities ``[B]`` of the target's B bins that are not empty, and the information ``[B, genes]``. Weighted
        by the former, the latter sums to the mutual information.
    """
    cells, genes, width = members.shape
    own = members[:, target]
    own = own[:, own.any(axis=0)]
    joint = (own.T @ members.reshape(cells, -1)).astype(np.float64).reshape(-1, genes, width)  # cells in both bins
    here, there = joint[:, target].sum(axis=1), joint.sum(axis=0)
    nats = (xlogy(joint, joint) - joint * np.log(there.clip(1))).sum(axis=2) / here[:, None]
    return here / cells, nats + np.log(cells / here)[:, None]


def summed_minima(values: Doubles) -> Doubles:
    """``sum over y != x of min(values[b, x], values[b, y])`` for each b and x, ``[B, G]``.

    In ascending order the minimum is y's value before x and x's own after it, so that sorting once takes the place
    of all pairs.
    """
    order = values.argsort(axis=1)
    ascending = np.take_along_axis(values, order, axis=1)
    after = np.arange(values.shape[1])[::-1]
    sums = np.empty_like(values)
    np.put_along_axis(sums, order, ascending.cumsum(axis=1) - ascending + ascending * after, axis=1)
    return sums


def confidence(scores: Doubles) -> Doubles:
    """A score's place among the scores of either gene: the sum of two gamma distributions, one fitted to each.

    Args:
        scores: symmetric ``[genes, genes]``, not negative; its zeros, the diagonal among them, are not fitted.

    Returns:
        Symmetric ``[genes, genes]``, 0 to 2.
    """
    ranks = np.zeros_like(scores)
    for gene, row in enumerate(scores):
        positive = row[row > 0]
        if len(positive) and positive.std() > 1e-5 * positive.mean():  # no fit to equal scores
            shape, _, scale = gamma.fit(positive, floc=0)
            ranks[gene] = gamma.cdf(row, shape, scale=scale)
    return ranks + ranks.T
