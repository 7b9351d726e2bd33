"""Cells of the benchmark: a perfect scorer, a blind one, and the rules of groups and regimes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ugrn.export.benchmark import controls
from ugrn.export.benchmark.datasets import DataSet
from ugrn.export.benchmark.evaluate import Cell, Protocol, evaluate
from ugrn.export.benchmark.methods import Scored
from ugrn.export.training.calibration import calibration_error
from ugrn.runtime.genes.names import GeneNames

PROTOCOL = Protocol(seeds=3, draws=40)


@pytest.fixture(scope="module")
def cell(bench_data: dict[str, DataSet]) -> Cell:
    learn, data = bench_data["learn"], bench_data["test"]
    network = data.networks["string", 1000]
    shape = (len(data.sources), len(data.genes))
    rng = np.random.default_rng(0)
    truth = np.zeros(shape, np.float32)
    truth[data.rows[network.edges[:, 0]], network.edges[:, 1]] = 1.0
    blind = rng.normal(size=shape).astype(np.float32)
    partial = truth.copy()
    partial[3] = np.nan
    probabilities = {"honest": (0.25 + 0.5 * truth).astype(np.float32)}
    scores = {"perfect": truth, "blind": blind, "partial": partial, **probabilities}
    kinds = dict.fromkeys(scores, "paper")
    known = np.array([gene != "NOTKNOWN" for gene in data.genes])
    trained = learn.networks["string", 500]
    edges = trained.edges[(trained.edges[:, 1] < 30) & (trained.edges[:, 0] < 30)]
    names = GeneNames([f"GENE{row}" for row in range(60)])
    unseen = controls.unseen(learn, replace(trained, edges=edges), data, names)
    return Cell(data, network, known, unseen, Scored(scores, probabilities), kinds)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def results(cell: Cell) -> dict[tuple[str, str, str, str], dict]:  # type: ignore[type-arg]
    rows, _ = evaluate(cell, PROTOCOL)
    return {(row["regime"], row["group"], row["method"], row["metric"]): row for row in rows}


def test_perfect_and_blind_scores(results: dict[tuple[str, str, str, str], dict]) -> None:  # type: ignore[type-arg]
    for regime in ("random", "same-source", "degree-aware", "natural"):
        for group in ("all", "one unseen"):
            perfect = results[regime, group, "perfect", "AUPRC"]
            assert perfect["value"] == pytest.approx(1.0)
            assert perfect["low"] == pytest.approx(1.0)
            assert results[regime, group, "perfect", "within-source AUPRC"]["value"] == pytest.approx(1.0)
            assert results[regime, group, "blind", "AUROC"]["value"] == pytest.approx(0.5, abs=0.12)
    natural = results["natural", "all", "perfect", "AUPRC ratio"]
    assert natural["value"] == pytest.approx(natural["pairs"] / natural["edges"])
    assert results["natural", "all", "perfect", "EPR"]["value"] == pytest.approx(natural["value"])
    blind = results["degree-aware", "all", "blind", "AUPRC"]
    assert blind["low"] < blind["value"] < blind["high"]
    assert blind["value"] == pytest.approx(0.5, abs=0.06)
    assert len(blind["seeds"]) == 3


def test_groups_count_unseen_genes(
    cell: Cell,
    bench_data: dict[str, DataSet],
    results: dict[tuple[str, str, str, str], dict],  # type: ignore[type-arg]
) -> None:
    upper = [gene.upper() for gene in cell.data.genes]
    learn = bench_data["learn"]
    trained = learn.networks["string", 500].edges
    seen = {learn.genes[place] for place in trained[(trained < 30).all(1)].ravel()}
    unseen = [gene not in seen for gene in upper]
    counted = [sum(unseen[place] for place in edge) for edge in cell.edges.tolist()]
    assert results["same-source", "all", "blind", "AUPRC"]["edges"] == len(cell.edges)
    assert results["same-source", "one unseen", "blind", "AUPRC"]["edges"] == counted.count(1)
    both = ("same-source", "both unseen", "blind", "AUPRC")
    if counted.count(2) < 10:  # too few to say anything
        assert both not in results
    else:
        assert results[both]["edges"] == counted.count(2)


def test_edges_of_unknown_genes_are_counted_and_left_out(cell: Cell) -> None:
    place = cell.data.genes.index("NOTKNOWN")
    lost = int((cell.network.edges == place).any(1).sum())
    rows, _ = evaluate(cell, Protocol(seeds=1, draws=5))
    assert lost > 0
    assert {row["edges_left_out"] for row in rows} == {lost}
    assert len(cell.edges) == len(cell.network.edges) - lost


def test_a_method_that_lacks_pairs_is_not_compared(results: dict[tuple[str, str, str, str], dict]) -> None:  # type: ignore[type-arg]
    assert not [key for key in results if key[2] == "partial"]


def test_calibration_at_both_prevalences(cell: Cell, results: dict[tuple[str, str, str, str], dict]) -> None:  # type: ignore[type-arg]
    assert results["degree-aware", "all", "honest", "ECE"]["value"] == pytest.approx(0.25, abs=1e-6)
    assert results["degree-aware", "all", "honest", "Brier"]["value"] == pytest.approx(0.0625, abs=1e-6)
    row = results["natural", "all", "honest", "ECE"]
    prevalence = row["edges"] / row["pairs"]
    odds = prevalence / (1 - prevalence)
    low, high = (share / (1 - share) * odds / (1 + share / (1 - share) * odds) for share in (0.25, 0.75))
    labels = np.repeat([1, 0], [row["edges"], row["pairs"] - row["edges"]])
    shifted = np.where(labels == 1, high, low)
    assert row["value"] == pytest.approx(calibration_error(labels, shifted, np.ones(len(labels))), abs=1e-4)


def test_direction(cell: Cell, results: dict[tuple[str, str, str, str], dict]) -> None:  # type: ignore[type-arg]
    assert results["natural", "all", "perfect", "direction accuracy"]["value"] == 1.0
    edges = set(map(tuple, cell.edges.tolist()))
    lone = [edge for edge in edges if edge[::-1] not in edges and cell.data.rows[edge[1]] >= 0]
    assert results["natural", "all", "blind", "direction accuracy"]["edges"] == len(lone)


def test_tiny_networks_say_nothing(cell: Cell) -> None:
    few = replace(cell, network=replace(cell.network, edges=cell.network.edges[:5]))
    assert evaluate(few, PROTOCOL) == ([], [])
