"""What is held out is nowhere else, and every seed draws anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench.grnformer.data import DrugClass, DrugResponse, Perturbations, Split
from bench.grnformer.splits import splits

from ugrn.runtime.errors import InputError


def all_rows(split: Split) -> list[int]:
    return sorted([*split.train, *split.validation, *split.test])


def test_a_fifth_of_the_perturbations_is_tested_and_a_tenth_chooses(perturbations: Perturbations) -> None:
    drawn = [splits(perturbations, seed)[0] for seed in range(20)]
    for split in drawn:
        assert (split.name, split.fold) == ("perturbations", "")
        assert (len(split.train), len(split.validation), len(split.test)) == (9, 1, 2)
        assert all_rows(split) == list(range(12))
    assert len({tuple(split.test) for split in drawn}) > 5
    again = splits(perturbations, 3)[0]
    np.testing.assert_array_equal(again.test, drawn[3].test)


def test_lines_and_drugs_are_held_out_with_all_their_pairs(response: DrugResponse) -> None:
    for seed in range(5):
        by_line, by_drug = splits(response, seed)
        for split, units, name in ((by_line, response.line, "lines"), (by_drug, response.drug, "drugs")):
            assert split.name == name
            assert all_rows(split) == list(range(len(response)))
            parts = [set(units[rows]) for rows in (split.train, split.validation, split.test)]
            assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
        assert len(set(response.line[by_line.test])) == 4


def test_drugs_of_the_same_molecule_are_held_out_together(response: DrugResponse) -> None:
    for seed in range(20):
        split = splits(response, seed)[1]
        for rows in (split.train, split.validation, split.test):
            assert (0 in response.drug[rows]) == (10 in response.drug[rows])


def test_every_patient_is_tested_once_by_seed(cells: DrugClass) -> None:
    group = np.array(cells.group)
    order = []
    for seed in range(10):
        found = splits(cells, seed)
        assert sorted(split.fold for split in found) == sorted(set(cells.group))
        order.append(tuple(split.fold for split in found))
        for split in found:
            assert set(group[split.test]) == {split.fold}
            assert len(set(group[split.validation])) == 1
            assert len(set(group[split.train])) == 2
            assert all_rows(split) == list(range(200))
    assert len(set(order)) > 1


def test_cells_of_one_batch_are_drawn_class_by_class(cells: DrugClass) -> None:
    [split] = splits(replace(cells, group=["a"] * 200), 0)
    assert (split.name, split.fold) == ("cells", "")
    assert all_rows(split) == list(range(200))
    for value in (False, True):
        count = int((cells.label == value).sum())
        assert int((cells.label[split.test] == value).sum()) == round(0.2 * count)


def test_too_few_units_are_refused(perturbations: Perturbations, cells: DrugClass) -> None:
    few = replace(perturbations, perturbed=["A", "B"], change=perturbations.change[:2])
    with pytest.raises(InputError, match="2 units to hold out; expected 3 or more"):
        splits(few, 0)
    with pytest.raises(InputError, match="2 patients or batches; expected one, or 3 or more"):
        splits(replace(cells, group=["a", "b"] * 100), 0)
