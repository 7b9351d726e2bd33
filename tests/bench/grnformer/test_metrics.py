"""Metrics against plain loops, numpy and scikit-learn."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from bench.grnformer.data import DrugClass, DrugResponse, Perturbations, TaskData
from bench.grnformer.metrics import METRICS, Value, beyond, jackknifed, mean_change, measure, pearson
from bench.grnformer.splits import splits
from sklearn.metrics import average_precision_score, roc_auc_score

from ugrn.runtime.errors import InputError


def slow_r(x: list[float], y: list[float]) -> float:
    """Pearson r, term by term."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return top / (sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y)) ** 0.5


def by_metric(values: list[Value]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for each in values:
        assert each.unit not in found[each.metric]
        found[each.metric][each.unit] = each.value
    return found


def test_metrics_of_changes_are_plain_loops(perturbations: Perturbations, random: np.random.Generator) -> None:
    split = splits(perturbations, 1)[0]
    predicted = random.normal(size=(len(split.test), 30))
    found = by_metric(measure(perturbations, split, predicted))
    assert set(found) == set(METRICS["perturbation"])
    change = perturbations.change.astype(np.float64)
    for place, row in enumerate(split.test):
        genes = [gene for gene in range(30) if not np.isnan(change[row, gene])]
        x, y, common = [], [], []
        for gene in genes:
            seen = [change[other, gene] for other in split.train if not np.isnan(change[other, gene])]
            x.append(predicted[place, gene])
            y.append(change[row, gene])
            common.append(sum(seen) / len(seen))
        name = perturbations.perturbed[row]
        assert found["r"][name] == pytest.approx(slow_r(x, y), abs=1e-12)
        r_xy, r_xc, r_yc = slow_r(x, y), slow_r(x, common), slow_r(y, common)
        partial = (r_xy - r_xc * r_yc) / ((1 - r_xc**2) * (1 - r_yc**2)) ** 0.5
        assert found["r beyond mean"][name] == pytest.approx(partial, abs=1e-9)
        most = sorted(range(len(y)), key=lambda gene: -abs(y[gene]))[:20]
        top = slow_r([x[gene] for gene in most], [y[gene] for gene in most])
        assert found["r top 20"][name] == pytest.approx(top, abs=1e-12)


def test_the_mean_change_is_over_what_was_measured_in_training(perturbations: Perturbations) -> None:
    split = splits(perturbations, 0)[0]
    found = mean_change(perturbations, split)
    for gene in range(30):
        known = [float(perturbations.change[row, gene]) for row in split.train]
        known = [value for value in known if not np.isnan(value)]
        assert found[gene] == pytest.approx(sum(known) / len(known) if known else 0.0, abs=1e-12)


def test_what_does_not_vary_says_nothing(random: np.random.Generator) -> None:
    y, common = random.normal(size=(2, 40))
    assert pearson(np.full(40, 0.1), y) == 0.0
    assert np.isnan(pearson(y, np.full(40, 0.1)))
    assert np.isnan(pearson(y[:1], y[:1]))
    for share in (0.0, 0.3, -2.0, 1.0):  # no more is known than the mean change, whatever is made of it
        assert beyond(share * common, y, common) == 0.0
        assert beyond(0.7 + share * common, y, common) == 0.0
    assert beyond(y + 5 * common, y, common) == pytest.approx(1.0)
    assert np.isnan(beyond(y, 3 * common, common))


@pytest.mark.parametrize("place", [0, 1])
def test_metrics_of_responses_are_plain_loops(response: DrugResponse, random: np.random.Generator, place: int) -> None:
    split = splits(response, 2)[place]
    predicted = response.response[split.test] + random.normal(size=len(split.test))
    found = by_metric(measure(response, split, predicted))
    held, names = (response.drug, response.drugs) if place else (response.line, response.lines)
    truth = response.response[split.test].astype(np.float64)

    def both(rows: list[int]) -> tuple[float, float]:
        x, y = ([float(each[row]) for row in rows] for each in (predicted, truth))
        return slow_r(x, y), (sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / len(rows)) ** 0.5

    rows = list(range(len(truth)))
    units = sorted(set(held[split.test]))
    whole = both(rows)
    without = [both([row for row in rows if held[split.test][row] != unit]) for unit in units]
    for metric, index in (("r", 0), ("RMSE", 1)):
        others = [each[index] for each in without]
        mean = sum(others) / len(others)
        assert set(found[metric]) == {names[unit] for unit in units}
        for unit, other in zip(units, others, strict=True):
            expected = whole[index] + (len(units) - 1) * (mean - other)
            assert found[metric][names[unit]] == pytest.approx(expected, abs=1e-9)
        assert np.mean(list(found[metric].values())) == pytest.approx(whole[index], abs=1e-12)
    for drug in set(response.drug[split.test]):
        own = [row for row in rows if response.drug[split.test][row] == drug]
        value = found["r per drug"][response.drugs[drug]]
        if len(own) < 5:
            assert np.isnan(value)
        else:
            expected = slow_r([float(predicted[row]) for row in own], [float(truth[row]) for row in own])
            assert value == pytest.approx(expected, abs=1e-9)


def test_a_mean_of_responses_says_nothing_within_a_drug(response: DrugResponse) -> None:
    split = splits(response, 0)[0]
    found = by_metric(measure(response, split, np.full(len(split.test), 2.7)))
    assert {value for value in found["r"].values()} == {0.0}
    assert {value for value in found["r per drug"].values() if not np.isnan(value)} <= {0.0}


def test_areas_are_those_of_scikit_learn(cells: DrugClass, random: np.random.Generator) -> None:
    for split in splits(cells, 0):
        predicted = np.round(cells.label[split.test] + random.normal(size=len(split.test)), 1)
        found = by_metric(measure(cells, split, predicted))
        truth = cells.label[split.test]
        assert found["AUROC"] == {split.fold: pytest.approx(roc_auc_score(truth, predicted), abs=1e-12)}
        assert found["AUPRC"] == {split.fold: pytest.approx(average_precision_score(truth, predicted), abs=1e-12)}
        constant = by_metric(measure(cells, split, np.full(len(truth), 0.3)))
        assert constant["AUROC"][split.fold] == 0.5
        assert constant["AUPRC"][split.fold] == pytest.approx(truth.mean())


def test_areas_of_held_out_cells_are_jackknifed_by_block(cells: DrugClass, random: np.random.Generator) -> None:
    data = replace(cells, group=["one"] * 200)
    [split] = splits(data, 0)
    truth, predicted = data.label[split.test], random.random(len(split.test)) + 0.4 * data.label[split.test]
    found = by_metric(measure(data, split, predicted))
    blocks = sorted({int(row) % 20 for row in split.test})
    for metric, area in (("AUROC", roc_auc_score), ("AUPRC", average_precision_score)):
        whole = area(truth, predicted)
        without = {}
        for block in blocks:
            kept = [place for place, row in enumerate(split.test) if row % 20 != block]
            without[block] = area(truth[kept], predicted[kept])
        mean = sum(without.values()) / len(without)
        for block in blocks:
            expected = whole + (len(blocks) - 1) * (mean - without[block])
            assert found[metric][f"block {block}"] == pytest.approx(expected, abs=1e-9)
        assert np.mean(list(found[metric].values())) == pytest.approx(whole, abs=1e-12)


def test_the_jackknife_of_a_mean_is_its_units(random: np.random.Generator) -> None:
    values = random.normal(size=9)
    without = np.array([np.delete(values, place).mean() for place in range(9)])
    np.testing.assert_allclose(jackknifed(float(values.mean()), without), values, atol=1e-12)
    assert jackknifed(0.4, np.array([np.nan])).tolist() == [0.4]


@pytest.mark.parametrize("kind", ["perturbations", "response", "cells"])
def test_predictions_of_another_shape_or_not_finite_are_refused(kind: str, request: pytest.FixtureRequest) -> None:
    data: TaskData = request.getfixturevalue(kind)
    split = splits(data, 0)[0]
    shape = (len(split.test), len(data.genes)) if isinstance(data, Perturbations) else (len(split.test),)
    with pytest.raises(InputError, match="expected"):
        measure(data, split, np.zeros((shape[0] + 1, *shape[1:])))
    wrong = np.zeros(shape)
    wrong[0] = np.nan
    with pytest.raises(InputError, match="of its numbers not finite"):
        measure(data, split, wrong)
