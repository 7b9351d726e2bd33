"""The two data sets of treated and untreated cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ugrn.export.pretrain.corpus import log_normalise
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.annotations import UnreadableCells
from ugrn.runtime.files.cells import open_cells
from ugrn.runtime.files.matrices import read_dense

from .data import DrugClass
from .files import require

GLIOBLASTOMA = "glioblastoma_panobinostat_300genes.h5ad"
PC9 = "pc9_erlotinib_day11.h5ad"
GLIOBLASTOMA_CAUTIONS = (
    "300 genes were chosen beforehand, and a cell's sum is of these alone: below 60 in a twentieth of the cells.",
    "Of each patient, treated and untreated cells are one sample each.",
)
PC9_CAUTIONS = (
    "Treated and untreated cells are one sample each, so class and batch are the same: what tells them apart measures "
    "the batch as much as the drug.",
)
STEP = 4  # of the cells that --quick takes


def read_drug_classes(folder: Path, quick: bool) -> list[DrugClass]:
    """Glioblastoma with panobinostat, by patient, and PC9 with erlotinib; of the first every fourth cell if `quick`.

    Raises:
        InputError: files are missing, or cannot be read.
    """
    glioblastoma, pc9 = require(folder, (GLIOBLASTOMA, PC9))
    first = read_cells(
        "glioblastoma_panobinostat",
        glioblastoma,
        treated="panobinostat",
        group="patient_id",
        cautions=GLIOBLASTOMA_CAUTIONS,
        step=STEP if quick else 1,
    )
    if quick:
        return [first]
    return [first, read_cells("pc9_erlotinib", pc9, treated="erlotinib", group=None, cautions=PC9_CAUTIONS)]


def read_cells(
    name: str, path: Path, treated: str, group: str | None, cautions: tuple[str, ...], step: int = 1
) -> DrugClass:
    """Counts of cells with the annotation ``condition``.

    Args:
        name: of the data set.
        path: of the ``.h5ad`` file.
        treated: the condition of treated cells.
        group: annotation of the patient; None: one batch.
        cautions: see `DrugClass`.
        step: every how manyeth cell is taken.

    Raises:
        InputError: it cannot be read, holds other values than counts, or no treated or no untreated cells.
    """
    try:
        with open_cells(path) as cells:
            label = np.array([condition == treated for condition in cells.obs.strings("condition")[::step]])
            groups = ["one batch"] * len(label) if group is None else cells.obs.strings(group)[::step]
            genes = cells.var().strings("symbol") if "symbol" in cells.var().columns else cells.var().index()
            counts = read_dense(cells.matrix())[::step]
    except UnreadableCells as error:
        expected = f"an .h5ad file with obs columns condition{f', {group}' if group else ''}"
        message = f"{path}: {error.reason}; expected {expected}"
        raise InputError(message) from error
    if (counts < 0).any() or (counts != np.round(counts)).any() or label.all() or not label.any():
        message = (
            f"{path}: {int(label.sum())} of {len(label)} cells are {treated}, values from {counts.min()} to "
            f"{counts.max()}; expected counts of treated and of other cells"
        )
        raise InputError(message)
    return DrugClass(name, genes, log_normalise(counts), counts.sum(1), label, groups, cautions)
