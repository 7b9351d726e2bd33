"""Fits on made data whose truth lies in a network: the arm that has it must find it, and no other arm can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bench.grnformer.arms import Arm, ArmInputs, Wiring, make_arm
from bench.grnformer.data import DrugClass, DrugResponse, Perturbations, Split
from bench.grnformer.fit import FitSettings, fit, predict
from bench.grnformer.metrics import measure
from bench.grnformer.models import ModelSizes
from bench.grnformer.problems import CellTokens, ChangeTokens, ClassProblem, Problem, ResponseProblem, make_problem

from ugrn.export.networks.network import Network, rewired

WIDTH = 12


def split_of(count: int, random: np.random.Generator, name: str = "made") -> Split:
    parts = np.split(random.permutation(count), [round(0.6 * count), round(0.75 * count)])
    return Split(name, *(np.sort(part) for part in parts))


def draw(genes: int, top: int, random: np.random.Generator) -> Network:
    targets = [random.choice(np.delete(np.arange(genes), gene), top, replace=False) for gene in range(genes)]
    return Network.of(np.repeat(np.arange(genes), top), np.concatenate(targets), genes)


def planted_changes(random: np.random.Generator, genes: int = 150) -> tuple[Problem, Network]:
    """Perturbing a gene changes others as the sum of what its targets are says; nothing of it is in its own token."""
    known = random.normal(size=(genes, WIDTH)).astype(np.float32)
    network = draw(genes, 3, random)
    sums = np.stack([known[network.targets[network.sources == gene]].sum(0) for gene in range(genes)])
    effect = sums @ random.normal(size=(WIDTH, 3)) @ random.normal(size=(3, WIDTH)) @ known.T
    change = (effect / effect.std() + 0.1 * random.normal(size=effect.shape)).astype(np.float32)
    change[random.random(change.shape) < 0.05] = np.nan
    names = [f"GENE{row}" for row in range(genes)]
    data = Perturbations("made", names, names, change, None, ())
    tokens = np.stack([np.zeros_like(known), known], axis=1).astype(np.float16)
    rows = np.arange(genes)
    inputs = ChangeTokens(tokens, tokens, known, rows, rows)
    return make_problem(data, split_of(genes, random, "perturbations"), inputs), network


def mean_of(problem: Problem, arm: Arm, settings: FitSettings, metric: str, seed: int = 0) -> float:
    fitted = fit(problem, arm, settings, seed)
    predicted = predict(problem, fitted.model, arm, problem.split.test)
    values = measure(problem.data, problem.split, predicted)
    return float(np.mean([each.value for each in values if each.metric == metric]))


@pytest.mark.slow
def test_the_true_network_beats_a_random_one_where_it_decides(random: np.random.Generator) -> None:
    problem, network = planted_changes(random)
    settings = FitSettings(ModelSizes(hidden=16), epochs=120, batch=1024, rate=1e-2, decay=1.0)
    wirings = {
        "ugrn": (Wiring(network),),
        "random": (Wiring(rewired(network, random)),),
        "no edges": (Wiring(Network.of([], [], network.genes)),),
        "none": (),
    }
    found = {name: mean_of(problem, Arm(name, each), settings, "r") for name, each in wirings.items()}
    assert found["ugrn"] > 0.4
    assert max(found["random"], found["no edges"], found["none"]) < found["ugrn"] - 0.2


def planted_classes(random: np.random.Generator, cells: int = 240, genes: int = 20) -> tuple[ClassProblem, ArmInputs]:
    """Treated cells have the edges of half of the genes, untreated ones those of the others; their tokens are noise."""
    label = random.random(cells) < 0.5
    tokens = random.normal(size=(cells, 1 + genes, WIDTH)).astype(np.float16)
    known = random.normal(size=(genes, WIDTH)).astype(np.float32)
    network = draw(genes, 4, random)
    active = (network.sources < genes // 2) == label[:, None]
    active ^= random.random(active.shape) < 0.1
    by_cell = Wiring(network, active.astype(np.float32), np.arange(cells))
    expression = random.random((cells, genes)).astype(np.float32)
    names = [f"GENE{row}" for row in range(genes)]
    data = DrugClass("made", names, expression, np.ones(cells, np.float32), label, ["a"] * cells, ())
    problem = ClassProblem(data, split_of(cells, random, "cells"), CellTokens.summed_up(tokens, known))
    return problem, ArmInputs(network, by_cell=by_cell, measured=expression)


@pytest.mark.slow
def test_cell_specific_networks_tell_cells_apart_where_they_differ(random: np.random.Generator) -> None:
    problem, material = planted_classes(random)
    settings = FitSettings(ModelSizes(hidden=0), epochs=40, batch=48, rate=1e-2)
    found = {
        name: mean_of(problem, make_arm(name, material, problem.split.train, 0), settings, "AUROC")
        for name in ("cell-specific", "ugrn", "none")
    }
    assert found["cell-specific"] > 0.9
    assert max(found["ugrn"], found["none"]) < 0.75


def made_responses(random: np.random.Generator, lines: int = 200, drugs: int = 12) -> ResponseProblem:
    """Responses that depend on both, and pairs that are missing."""
    genes = 9
    tokens = random.normal(size=(lines, 1 + genes, WIDTH)).astype(np.float16)
    line, drug = np.nonzero(random.random((lines, drugs)) < 0.8)
    bits = (random.random((drugs, 1024)) < 0.05).astype(np.float32)
    response = 3 * tokens[line, 0, 0].astype(np.float32) + 2 * random.normal(size=drugs)[drug] + 1
    names = [f"GENE{row}" for row in range(genes)]
    data = DrugResponse(
        name="made",
        lines=[f"line {row}" for row in range(lines)],
        genes=names,
        expression=random.normal(size=(lines, genes)).astype(np.float32),
        tissues=["x"] * lines,
        drugs=[f"drug {row}" for row in range(drugs)],
        fingerprints=bits,
        line=line,
        drug=drug,
        response=response.astype(np.float32),
        cautions=(),
    )
    held_out = random.permutation(lines)
    parts = np.split(held_out, (2 * lines // 3, 4 * lines // 5))
    split = Split("lines", *(np.flatnonzero(np.isin(line, part)) for part in parts))
    return ResponseProblem(data, split, CellTokens.summed_up(tokens, random.normal(size=(genes, 5)).astype(np.float32)))


def test_responses_of_new_lines_are_learnt(random: np.random.Generator) -> None:
    problem = made_responses(random)
    settings = FitSettings(ModelSizes(hidden=32), epochs=30, batch=8, rate=5e-3)
    assert mean_of(problem, Arm("none", ()), settings, "r") > 0.9


def test_a_line_is_read_once_and_every_pair_is_in_its_place(random: np.random.Generator) -> None:
    problem = made_responses(random)
    rows = random.permutation(problem.split.train)
    for drawn in (None, random):
        parts = list(problem.parts(rows, 4, drawn))
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
        lines = [set(problem.data.line[rows[part]].tolist()) for part in parts]
        assert max(map(len, lines)) <= 4
        assert sum(map(len, lines)) == len(set(problem.data.line[rows].tolist()))
    model = problem.model(ModelSizes(), 0).eval()
    arm = Arm("none", ())
    together = predict(problem, model, arm, rows)
    one_by_one = [predict(problem, model, arm, rows[place : place + 1])[0] for place in range(0, len(rows), 9)]
    assert np.allclose(together[::9], one_by_one, atol=1e-4)


def test_changes_start_at_the_mean_of_the_training_perturbations(random: np.random.Generator) -> None:
    problem, network = planted_changes(random, 40)
    data, split = problem.data, problem.split
    fitted = fit(problem, Arm("ugrn", (Wiring(network),)), FitSettings(epochs=0), 0)
    found = predict(problem, fitted.model, Arm("ugrn", (Wiring(network),)), split.test)
    wanted = [np.nanmean(data.change[split.train, gene].astype(np.float64)) for gene in range(40)]
    assert np.allclose(found, np.broadcast_to(wanted, found.shape), atol=1e-5)
    assert fitted.epoch == 0


def test_the_same_seed_gives_the_same_fit_and_another_another(random: np.random.Generator) -> None:
    problem, material = planted_classes(random, 60)
    settings = FitSettings(epochs=2, batch=16)
    found = []
    for seed in (0, 0, 1):
        arm = make_arm("cell-specific", material, problem.split.train, seed)
        fitted = fit(problem, arm, settings, seed)
        found.append(predict(problem, fitted.model, arm, problem.split.test))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_arms_begin_alike_and_the_adapter_begins_idle(random: np.random.Generator) -> None:
    problem, material = planted_classes(random, 60)
    outputs = []
    for name in ("none", "ugrn", "cell-specific"):
        torch.manual_seed(3)
        arm = make_arm(name, material, problem.split.train, 0)
        model = problem.model(ModelSizes(), len(arm.wirings))
        for parameter in model.head.parameters():  # type: ignore[union-attr]
            torch.nn.init.normal_(parameter)
        outputs.append(predict(problem, model, arm, problem.split.test))
    assert np.ptp(outputs[0]) > 0.1
    assert np.allclose(outputs[0], outputs[1], atol=1e-4)
    assert np.allclose(outputs[0], outputs[2], atol=1e-4)


def test_the_best_epoch_is_kept(random: np.random.Generator) -> None:
    problem, material = planted_classes(random, 60)
    problem = replace(problem, data=replace(problem.data, label=random.random(60) < 0.5))  # nothing to learn
    arm = make_arm("cell-specific", material, problem.split.train, 0)
    fitted = fit(problem, arm, FitSettings(epochs=12, batch=8, rate=0.03), 0)
    assert fitted.losses[fitted.epoch] == min(fitted.losses[1:])
    rows = problem.split.validation
    with torch.no_grad():
        loss = float(problem.loss(problem.outputs(fitted.model, arm, rows), rows))
    assert loss == pytest.approx(min(fitted.losses[1:]), rel=1e-4)


def test_what_is_not_measured_counts_for_nothing(random: np.random.Generator) -> None:
    problem, _ = planted_changes(random, 30)
    rows = problem.split.train
    outputs = torch.tensor(random.normal(size=(len(rows), 30)), dtype=torch.float32)
    change = problem.data.change[rows].astype(np.float64)
    mean = np.array([np.nanmean(change[:, gene]) for gene in range(30)])
    deviation = np.sqrt(np.nanmean((change - mean) ** 2))
    wanted = [
        (float(outputs[row, gene]) - (change[row, gene] - mean[gene]) / deviation) ** 2
        for row in range(len(rows))
        for gene in range(30)
        if np.isfinite(change[row, gene])
    ]
    assert float(problem.loss(outputs, rows)) == pytest.approx(np.mean(wanted), rel=1e-4)
