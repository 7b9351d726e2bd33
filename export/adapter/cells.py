"""The cells an adapter is trained on: a few genes of a cell are shown, and some of the others are asked.

Shown genes have values that the backbone can be given and saw in its own training; asked ones have values it saw. A
released scGPT, for example, saw no gene of value zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.engine.states import read_each_cell
from ugrn.runtime.engine.units import CONVERSIONS
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames

from ..model.base import BackboneCard, VirtualCells

FEWEST_CELLS = 20
FEWEST_GENES = 8
HELD_OUT = 10  # one cell in so many
Bounds = tuple[float, float]


@dataclass(frozen=True)
class MaskedCell:
    """K genes of a cell that are shown, the first as the source, and Q that are asked.

    Attributes:
        genes, values: ``[K]``, ids and values.
        asked, wanted: ``[Q]``, ids and the values they have.
    """

    genes: Tensor
    values: Tensor
    asked: Tensor
    wanted: Tensor

    def virtual_cell(self, baseline: float) -> VirtualCells:
        """The one virtual cell that shows these genes."""
        source, level = self.genes[:1], self.values[:1]
        return VirtualCells(self.genes[1:], self.values[1:], source, level, source, baseline)


@dataclass(frozen=True)
class TrainingCells:
    """N cells, of which G genes of the vocabulary are measured and vary.

    Attributes:
        values: float32 ``[N, G]``, in the backbone's units.
        genes: int64 ``[G]``, ids.
        held_out: bool ``[N]``; cells that are not trained on.
        may_show, may_ask: smallest and largest value of a gene that is shown, or asked.
        metadata: of the file, for the manifest.
        note: one line that says how reading went.
    """

    values: Array
    genes: Ids
    held_out: NDArray[np.bool_]
    may_show: Bounds
    may_ask: Bounds
    metadata: dict[str, Any]
    note: str

    def show(self, row: int, most_shown: int, asked: int, random: np.random.Generator) -> MaskedCell:
        """Show 1 to `most_shown` genes of a cell, log-uniform in number, and ask `asked` others, or all there are.

        However few genes a cell has, one of them is left to be asked.
        """
        values = self.values[row]
        usable = random.permutation(np.flatnonzero(_within(values, self.may_show)))
        left = _within(values, self.may_ask)
        others = np.flatnonzero(left)
        usable = usable[usable != random.choice(others[others != usable[0]])]
        most = min(most_shown, len(usable), len(self.genes) // 2)
        shown = usable[: int(math.exp(random.uniform(0.0, math.log(most + 1))))]
        left[shown] = False
        others = np.flatnonzero(left)
        others = random.choice(others, min(asked, len(others)), replace=False)
        parts = (self.genes[shown], values[shown], self.genes[others], values[others])
        return MaskedCell(*(torch.from_numpy(part) for part in parts))


def read_training_cells(path: Path, names: GeneNames, card: BackboneCard, seed: int = 0) -> TrainingCells:
    """Read cells and set a tenth of them aside.

    Args:
        path: ``.h5ad``, of counts or of ln(1 + 1e4 x / sum).
        names: the backbone's vocabulary.
        card: its units and the values it knows. z-scores are cut to what training saw, as they were there.
        seed: of the choice of the cells that are held out.

    Raises:
        InputError: the file cannot be read, or has too few cells or genes.
    """
    if card.scale not in CONVERSIONS:
        message = f"{card.name} does not say how cells become its units ({card.units}); no adapter can be trained on it"
        raise InputError(message)
    read = read_each_cell(path, names, card.scale, FEWEST_CELLS)
    values = np.clip(read.values, *card.trained) if card.scale == "z-score" else read.values
    varying = np.flatnonzero(values.max(0) > values.min(0))
    if len(varying) < FEWEST_GENES:
        message = (
            f"{path}: {len(varying)} genes of the backbone's vocabulary vary in it; at least {FEWEST_GENES} are needed "
            f"({read.matches.describe()})"
        )
        raise InputError(message)
    values = values[:, varying]
    may_show = (max(card.range[0], card.trained[0]), min(card.range[1], card.trained[1]))
    usable = _within(values, may_show).any(1) & (_within(values, card.trained).sum(1) >= 2)
    if usable.sum() < FEWEST_CELLS:
        message = (
            f"{path}: {usable.sum()} cells have genes with values that {card.name} knows, {may_show[0]:g} to "
            f"{may_show[1]:g} ({card.units}); at least {FEWEST_CELLS} are needed"
        )
        raise InputError(message)
    held_out = _held_out(int(usable.sum()), seed)
    metadata = {"file": path.name, "sha256": file_entry(path)["sha256"], "cells": len(held_out)}
    metadata |= {"held_out": int(held_out.sum()), "genes": len(varying), "without_usable_genes": int((~usable).sum())}
    note = (
        f"{path.name}: {len(held_out):,} cells, {held_out.sum():,} of them held out; {len(varying):,} genes that vary; "
        f"{read.matches.describe()}"
    )
    note += f"; {(~usable).sum():,} cells without a gene that can be shown were left out" if not usable.all() else ""
    chosen = np.ascontiguousarray(values[usable])
    return TrainingCells(chosen, read.genes[varying], held_out, may_show, card.trained, metadata, note)


def _within(values: Array, bounds: Bounds) -> NDArray[np.bool_]:
    return np.asarray((values >= bounds[0]) & (values <= bounds[1]))


def _held_out(count: int, seed: int) -> NDArray[np.bool_]:
    chosen = np.zeros(count, bool)
    chosen[np.random.default_rng([seed, count]).permutation(count)[: count // HELD_OUT]] = True
    return chosen
