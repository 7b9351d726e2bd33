"""Baselines of drug response, which a model has to beat: means of drugs and lines, and kernel ridge regression.

A kernel says how alike two lines are, by their expression, and how alike two drugs are, by their fingerprints. Their
sum gives a line the same preference for every drug; their product a preference of its own for drugs that are alike
(Kronecker kernel ridge regression, Pahikkala et al. 2013, doi:10.1007/978-3-642-40988-2_24). As not every pair was
measured, the equations are solved by conjugate gradients; a product with the kernel is two small matrix products.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from ugrn.runtime.arrays import Doubles

from .data import DrugResponse, Rows, Split
from .penalties import best, squared_error

PENALTIES = (0.1, 1.0, 10.0, 100.0)  # a pair's kernel with itself is about 2 or 4
ROUNDS = 20
TOLERANCE = 1e-4
STEPS = 500
Kernel = Callable[[Doubles], Doubles]  # a grid of lines x drugs to another


def response_baselines(data: DrugResponse, split: Split) -> dict[str, Doubles]:
    """Responses ``[M_test]`` by the baseline's name.

    The mean of a line or of a drug that is not trained on is the mean of all.
    """
    line, drug = _effects(data, split)
    rows, trained = split.test, data.response[split.train].astype(np.float64)
    mean = np.full(len(rows), float(trained.mean()))
    found = {"mean": mean}
    for name, of in (("drug mean", data.drug), ("line mean", data.line)):
        found[name] = mean + _means(of[split.train], trained - mean[0])(of[rows])
    found["additive"] = mean + line(data.line[rows]) + drug(data.drug[rows])
    for name, kernel in kernels(data, split).items():
        found[name] = kernel_ridge(data, split, kernel)
    return found


def _effects(data: DrugResponse, split: Split) -> tuple[Callable[[Rows], Doubles], Callable[[Rows], Doubles]]:
    """Effects of lines and of drugs beside the mean, by least squares: each in turn explains what the other leaves."""
    rows = split.train
    line, drug, left = data.line[rows], data.drug[rows], data.response[rows].astype(np.float64)
    left -= left.mean()
    of_line = of_drug = _means(line, np.zeros(len(rows)))
    for _ in range(ROUNDS):
        of_drug = _means(drug, left - of_line(line))
        of_line = _means(line, left - of_drug(drug))
    return of_line, of_drug


def _means(units: Rows, values: NDArray[np.floating]) -> Callable[[Rows], Doubles]:
    """Means of values by unit, as a function of units; 0 for a unit without values."""
    count = int(units.max()) + 1
    sums, counts = np.bincount(units, values), np.bincount(units)

    def of(asked: Rows) -> Doubles:
        inside = np.minimum(asked, count - 1)
        return np.where(asked < count, sums[inside] / np.maximum(counts[inside], 1), 0.0)

    return of


def kernels(data: DrugResponse, split: Split) -> dict[str, Kernel]:
    """The sum and the product of the kernels of lines and drugs, each with a constant."""
    lines, drugs = line_kernel(data, split), drug_kernel(data.fingerprints)

    def summed(grid: Doubles) -> Doubles:
        by_line, by_drug = grid.sum(1), grid.sum(0)
        return np.asarray((lines @ by_line)[:, None] + drugs @ by_drug + grid.sum())

    def multiplied(grid: Doubles) -> Doubles:
        return np.asarray((1 + lines) @ grid @ (1 + drugs))

    return {"ridge": summed, "product ridge": multiplied}


def line_kernel(data: DrugResponse, split: Split) -> Doubles:
    """``[N, N]``: scalar products of expression less the training lines' mean, 1 for a training line with itself on
    average."""
    trained = np.unique(data.line[split.train])
    centred = data.expression.astype(np.float64)
    centred -= centred[trained].mean(0)
    found = centred @ centred.T
    return np.asarray(found / (found.diagonal()[trained].mean() or 1.0))


def drug_kernel(bits: NDArray[np.floating]) -> Doubles:
    """``[D, D]`` of fingerprints: shared bits over all bits of both (Tanimoto); 1 of two without bits."""
    shared = bits.astype(np.float64) @ bits.T
    sizes = shared.diagonal()
    either = sizes[:, None] + sizes - shared
    return np.where(either > 0, shared / np.where(either > 0, either, 1.0), 1.0)


def kernel_ridge(data: DrugResponse, split: Split, kernel: Kernel) -> Doubles:
    """Kernel ridge regression of the response less its mean; the penalty is chosen at validation."""
    rows, tried = [*split.validation, *split.test], []
    line, drug = data.line[rows], data.drug[rows]
    count = len(split.validation)
    for penalty in PENALTIES:
        grid, mean = solve(data, split, kernel, penalty)
        predicted = mean + kernel(grid)[line, drug]
        tried.append((squared_error(predicted[:count], data.response[split.validation]), predicted[count:]))
    return best(tried)


def solve(data: DrugResponse, split: Split, kernel: Kernel, penalty: float) -> tuple[Doubles, float]:
    """Weights of the training pairs, on a grid of lines x drugs that is zero elsewhere, and the mean response."""
    rows = split.train
    line, drug, count = data.line[rows], data.drug[rows], len(rows)
    response = data.response[rows].astype(np.float64)
    mean = float(response.mean())

    def on_grid(weights: Doubles) -> Doubles:
        grid = np.zeros((len(data.lines), len(data.drugs)))
        grid[line, drug] = weights
        return grid

    def product(weights: Doubles) -> Doubles:
        return np.asarray(kernel(on_grid(weights))[line, drug] + penalty * weights)

    operator = LinearOperator((count, count), matvec=product, dtype=np.float64)
    weights, _ = cg(operator, response - mean, rtol=TOLERANCE, maxiter=STEPS)
    return on_grid(weights), mean
