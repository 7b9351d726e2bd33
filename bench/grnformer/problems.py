"""The three tasks as something to fit: a model, batches of rows, what it puts out, and how wrong that is.

A problem is one split of one data set. Responses, changes and pooled tokens are standardised by the training rows; the
mean token of a gene, and the spread around it, are of all cells, which have no labels then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit
from torch import Tensor, nn

from ugrn.runtime.arrays import Array

from .arms import Arm
from .data import DrugClass, DrugResponse, Perturbations, Rows, Split, TaskData
from .metrics import mean_change
from .models import BaseTokens, ChangeModel, ClassModel, ModelSizes, ResponseModel
from .tokens import Tokens


@dataclass(frozen=True)
class CellTokens:
    """Cells as a frozen backbone sees them.

    Attributes:
        tokens: ``[N, 1 + P, d]``.
        genes: ``[P, inputs]``, the gene tokens.
        pooled: ``[N, 2 d]``, ``<cls>`` and the mean of the genes.
        centre: ``[P, d]``, the mean token of every gene.
        spread: standard deviation of the genes' tokens around it.
    """

    tokens: Tokens
    genes: Array
    pooled: Array
    centre: Array
    spread: float

    @classmethod
    def summed_up(cls, tokens: Tokens, genes: Array) -> CellTokens:
        """Tokens and gene tokens, with what is computed of them once."""
        mean = tokens[:, 1:].mean(1, dtype=np.float32)
        pooled = np.concatenate([tokens[:, 0].astype(np.float32), mean], axis=1)
        centre = tokens[:, 1:].mean(0, dtype=np.float32)
        squares = sum(float(((cell[1:] - centre) ** 2).sum()) for cell in tokens)
        return cls(tokens, genes, pooled, centre, float(np.sqrt(squares / (len(tokens) * centre.size))))

    def of(self, cells: Rows) -> Tensor:
        """Tokens of some cells."""
        return torch.from_numpy(self.tokens[cells].astype(np.float32))

    def plain(self, cells: Rows) -> BaseTokens:
        """Tokens of the training cells, by which heads standardise."""
        return BaseTokens(torch.from_numpy(self.pooled[cells]), torch.tensor(self.centre), self.spread)


@dataclass(frozen=True)
class ChangeTokens:
    """Virtual cells of one gene each, for all that are perturbed or measured.

    Attributes:
        down, rest: ``[G, 2, d]``, where the gene is knocked down, and where it is at its baseline.
        genes: ``[G, inputs]``, the gene tokens.
        perturbed: ``[P]``, rows of the perturbed genes.
        measured: ``[Q]``, rows of the measured genes.
    """

    down: Tokens
    rest: Tokens
    genes: Array
    perturbed: Rows
    measured: Rows


Inputs = CellTokens | ChangeTokens


class Problem(Protocol):
    """See the module's docstring."""

    @property
    def data(self) -> TaskData:
        """The data that the rows are of."""

    @property
    def split(self) -> Split:
        """Rows to train on, and rows to predict."""

    def model(self, sizes: ModelSizes, networks: int) -> nn.Module:
        """A model before training."""

    def parts(self, rows: Rows, size: int, random: np.random.Generator | None = None) -> Iterator[Rows]:
        """Places in `rows`, part by part; in a drawn order where `random` is given."""

    def outputs(self, model: nn.Module, arm: Arm, rows: Rows) -> Tensor:
        """Outputs of the model for some rows."""

    def loss(self, outputs: Tensor, rows: Rows) -> Tensor:
        """Loss of outputs: a mean over what is known."""

    def finish(self, outputs: Array) -> Array:
        """Outputs as `bench.grnformer.metrics.measure` takes them."""


@dataclass(frozen=True)
class ClassProblem:
    """Classification of cells, treated or not."""

    data: DrugClass
    split: Split
    cells: CellTokens

    def model(self, sizes: ModelSizes, networks: int) -> nn.Module:
        return ClassModel(sizes, torch.tensor(self.cells.genes), self.cells.plain(self.split.train), networks)

    def parts(self, rows: Rows, size: int, random: np.random.Generator | None = None) -> Iterator[Rows]:
        return _parts(len(rows), size, random)

    def outputs(self, model: nn.Module, arm: Arm, rows: Rows) -> Tensor:
        return cast(Tensor, model(self.cells.of(rows), arm.edges(rows)))

    def loss(self, outputs: Tensor, rows: Rows) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, torch.from_numpy(self.data.label[rows].astype(np.float32)))

    def finish(self, outputs: Array) -> Array:
        return np.asarray(expit(outputs), np.float32)


@dataclass(frozen=True)
class ResponseProblem:
    """Regression of responses of lines to drugs. Rows of one line stand together, so that a line is read once."""

    data: DrugResponse
    split: Split
    cells: CellTokens

    @property
    def _centre(self) -> tuple[float, float]:
        trained = self.data.response[self.split.train]
        return float(trained.mean()), float(trained.std()) or 1.0

    def model(self, sizes: ModelSizes, networks: int) -> nn.Module:
        trained = np.unique(self.data.line[self.split.train])
        genes, bits = torch.tensor(self.cells.genes), torch.tensor(self.data.fingerprints)
        return ResponseModel(sizes, genes, self.cells.plain(trained), networks, bits)

    def parts(self, rows: Rows, size: int, random: np.random.Generator | None = None) -> Iterator[Rows]:
        """`size` lines at a time."""
        line = self.data.line[rows]
        order = np.argsort(line, kind="stable")
        ends = np.flatnonzero(np.diff(line[order])) + 1
        by_line = np.split(order, ends)
        for part in _parts(len(by_line), size, random):
            yield np.concatenate([by_line[place] for place in part])

    def outputs(self, model: nn.Module, arm: Arm, rows: Rows) -> Tensor:
        lines, code = np.unique(self.data.line[rows], return_inverse=True)
        line, drug = torch.from_numpy(code.reshape(-1)), torch.from_numpy(self.data.drug[rows])
        return cast(Tensor, model(self.cells.of(lines), arm.edges(lines), line, drug))

    def loss(self, outputs: Tensor, rows: Rows) -> Tensor:
        mean, deviation = self._centre
        return F.mse_loss(outputs, torch.from_numpy((self.data.response[rows] - mean) / deviation))

    def finish(self, outputs: Array) -> Array:
        mean, deviation = self._centre
        return mean + deviation * outputs


@dataclass(frozen=True)
class ChangeProblem:
    """Regression of changes when a gene is perturbed."""

    data: Perturbations
    split: Split
    cells: ChangeTokens

    @property
    def _mean(self) -> Array:
        return mean_change(self.data, self.split).astype(np.float32)

    @property
    def _deviation(self) -> float:
        return float(np.sqrt(np.nanmean((self.data.change[self.split.train] - self._mean) ** 2))) or 1.0

    def model(self, sizes: ModelSizes, networks: int) -> nn.Module:
        genes, down, rest = (
            torch.from_numpy(each.astype(np.float32)) for each in (self.cells.genes, self.cells.down, self.cells.rest)
        )
        return ChangeModel(sizes, genes, down, rest, networks)

    def parts(self, rows: Rows, size: int, random: np.random.Generator | None = None) -> Iterator[Rows]:
        return _parts(len(rows), size, random)

    def outputs(self, model: nn.Module, arm: Arm, rows: Rows) -> Tensor:
        perturbed, measured = torch.from_numpy(self.cells.perturbed[rows]), torch.tensor(self.cells.measured)
        return cast(Tensor, model(arm.edges(), perturbed, measured))

    def loss(self, outputs: Tensor, rows: Rows) -> Tensor:
        wanted = torch.from_numpy((self.data.change[rows] - self._mean) / self._deviation)
        known = torch.isfinite(wanted)
        return F.mse_loss(outputs[known], wanted[known])

    def finish(self, outputs: Array) -> Array:
        return self._mean + self._deviation * outputs


def make_problem(data: TaskData, split: Split, inputs: Inputs) -> Problem:
    """The problem of a split; the inputs are of the data's kind."""
    if isinstance(data, Perturbations):
        return ChangeProblem(data, split, cast(ChangeTokens, inputs))
    if isinstance(data, DrugResponse):
        return ResponseProblem(data, split, cast(CellTokens, inputs))
    return ClassProblem(data, split, cast(CellTokens, inputs))


def _parts(count: int, size: int, random: np.random.Generator | None) -> Iterator[Rows]:
    """Places below `count`, `size` at a time; in a drawn order where `random` is given."""
    places = np.arange(count) if random is None else random.permutation(count)
    for start in range(0, len(places), size):
        yield places[start : start + size]
