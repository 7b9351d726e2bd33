"""Splits of a task's data, which hold out perturbations, cell lines, drugs, patients, or cells.

A fifth is tested and a tenth chooses settings; the rest is trained on. Seeds draw independently of each other, so a
unit may be tested under several.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.errors import InputError

from .data import DrugClass, DrugResponse, Perturbations, Rows, Split, TaskData

TEST, VALIDATION = 0.2, 0.1
FEWEST = 3  # units or patients: one to train on, one to choose settings by, one to test on


def splits(data: TaskData, seed: int) -> list[Split]:
    """The splits of one seed.

    Perturbations: one. Drug response: by line and by drug; drugs of the same fingerprint are held out together. Drug
    class: every patient is tested once, the next one in a drawn order chooses settings; where there is one group alone,
    cells are drawn, class by class.

    Raises:
        InputError: there are fewer than three units to hold out.
    """
    random = np.random.default_rng([seed, len(data)])
    if isinstance(data, Perturbations):
        return [_held_out("perturbations", np.arange(len(data)), data.name, random)]
    if isinstance(data, DrugResponse):
        twins = np.unique(data.fingerprints, axis=0, return_inverse=True)[1].reshape(-1)
        by_line = _held_out("lines", data.line, data.name, random)
        return [by_line, _held_out("drugs", twins[data.drug], data.name, random)]
    patients = sorted(set(data.group))
    return [_stratified(data, random)] if len(patients) == 1 else _by_patient(data, patients, random)


def _held_out(name: str, units: NDArray[np.integer], data: str, random: np.random.Generator) -> Split:
    """A split of rows, by the unit that each belongs to."""
    parts = _drawn(np.unique(units), data, random)
    train, validation, test = (np.flatnonzero(np.isin(units, part)) for part in parts)
    return Split(name, train, validation, test)


def _drawn(units: Rows, data: str, random: np.random.Generator) -> tuple[Rows, Rows, Rows]:
    """Units in three parts, of each part at least one."""
    if len(units) < FEWEST:
        message = f"{data}: {len(units)} units to hold out; expected {FEWEST} or more"
        raise InputError(message)
    drawn = random.permutation(units)
    test, validation = (max(1, round(share * len(units))) for share in (TEST, VALIDATION))
    return drawn[test + validation :], drawn[test : test + validation], drawn[:test]


def _stratified(data: DrugClass, random: np.random.Generator) -> Split:
    """Cells drawn class by class."""
    classes = [_drawn(np.flatnonzero(data.label == value), data.name, random) for value in (False, True)]
    train, validation, test = (np.sort(np.concatenate(parts)) for parts in zip(*classes, strict=True))
    return Split("cells", train, validation, test)


def _by_patient(data: DrugClass, patients: Sequence[str], random: np.random.Generator) -> list[Split]:
    """One split for every patient."""
    if len(patients) < FEWEST:
        message = f"{data.name}: {len(patients)} patients or batches; expected one, or {FEWEST} or more"
        raise InputError(message)
    group = np.array(data.group)
    order = random.permutation(len(patients))
    found = []
    for place, row in enumerate(order):
        tested, choosing = patients[row], patients[order[(place + 1) % len(order)]]
        parts = (~np.isin(group, (tested, choosing)), group == choosing, group == tested)
        train, validation, test = (np.flatnonzero(part) for part in parts)
        found.append(Split("patients", train, validation, test, tested))
    return found
