"""Data of the three downstream tasks.

N cells or cell lines, G genes, D drugs, P perturbations, M pairs of a line and a drug. A task's *rows* are what is
predicted: perturbations, pairs, or cells; a split says which rows are trained on and which are tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.arrays import Array, Ids

Rows = Ids

TaskKind = Literal["perturbation", "drug-response", "drug-class"]
KINDS: tuple[TaskKind, ...] = ("perturbation", "drug-response", "drug-class")


@dataclass(frozen=True)
class Perturbations:
    """Changes of expression when one gene is perturbed. Rows: the perturbations.

    Attributes:
        name: of the data set.
        perturbed: P genes, one to a perturbation.
        genes: G genes.
        change: ``[P, G]``, in units of its own for each data set; NaN where it was not measured.
        control: ``[N, G]``, ln(1 + 1e4 x / sum) of the control cells; None where only changes are at hand.
        cautions: what a reader of the results must know.
    """

    name: str
    perturbed: list[str]
    genes: list[str]
    change: Array
    control: Array | None
    cautions: tuple[str, ...]

    kind: ClassVar[TaskKind] = "perturbation"

    def __len__(self) -> int:
        return len(self.perturbed)


@dataclass(frozen=True)
class DrugResponse:
    """Responses of cell lines to drugs. Rows: pairs of a line and a drug.

    Attributes:
        name: of the data set.
        lines: N cell lines.
        genes: G genes.
        expression: ``[N, G]``, z-scores over the lines.
        tissues: of the lines; empty where it is not known.
        drugs: D drugs.
        fingerprints: ``[D, 1024]``, 0 or 1, see `drug_response.fingerprints`.
        line, drug: ``[M]``, places in `lines` and `drugs`; no pair is there twice.
        response: ``[M]``, natural logarithm of the half-maximal inhibitory concentration [µM].
        cautions: what a reader of the results must know.
    """

    name: str
    lines: list[str]
    genes: list[str]
    expression: Array
    tissues: list[str]
    drugs: list[str]
    fingerprints: Array
    line: Rows
    drug: Rows
    response: Array
    cautions: tuple[str, ...]

    kind: ClassVar[TaskKind] = "drug-response"

    def __len__(self) -> int:
        return len(self.response)


@dataclass(frozen=True)
class DrugClass:
    """Cells that were treated with a drug, and others. Rows: the cells.

    Attributes:
        name: of the data set.
        genes: G genes.
        expression: ``[N, G]``, ln(1 + 1e4 x / sum).
        totals: ``[N]``, sum of a cell's counts, which `expression` no longer knows.
        label: bool ``[N]``, True for a treated cell.
        group: of every cell, its patient or its batch.
        cautions: what a reader of the results must know.
    """

    name: str
    genes: list[str]
    expression: Array
    totals: Array
    label: NDArray[np.bool_]
    group: list[str]
    cautions: tuple[str, ...]

    kind: ClassVar[TaskKind] = "drug-class"

    def __len__(self) -> int:
        return len(self.label)


TaskData = Perturbations | DrugResponse | DrugClass


@dataclass(frozen=True)
class Split:
    """Rows to train on, to choose settings by, and to test on; int64, rising, in no two of them the same row.

    Attributes:
        name: what is held out: ``perturbations``, ``lines``, ``drugs``, ``patients`` or ``cells``.
        train, validation, test: rows of the data.
        fold: which of several parts is tested, where a seed has several; else empty.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows
    fold: str = ""
