"""Baselines against plain loops and scikit-learn, and on data in which they must find what was put in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from bench.grnformer.baselines import predict_baselines
from bench.grnformer.class_baselines import STRENGTHS, logistic
from bench.grnformer.data import DrugClass, DrugResponse, Perturbations, TaskData
from bench.grnformer.metrics import METRICS, mean_change
from bench.grnformer.penalties import RIDGE, ridge
from bench.grnformer.perturbation_baselines import GeneVectors, bilinear, filled, gene_vectors, linear, nearest
from bench.grnformer.response_baselines import PENALTIES, drug_kernel, kernel_ridge, kernels, line_kernel, solve
from bench.grnformer.results import SCHEMA, results_of
from bench.grnformer.splits import splits
from sklearn.linear_model import LogisticRegression

from ugrn.runtime import load
from ugrn.runtime.errors import InputError


@pytest.fixture
def vectors(random: np.random.Generator) -> GeneVectors:
    perturbed, genes = random.normal(size=(12, 5)), random.normal(size=(30, 5))
    return GeneVectors(perturbed.astype(np.float32), genes.astype(np.float32))


def test_ridge_is_its_normal_equations(random: np.random.Generator) -> None:
    for rows, width in ((20, 4), (6, 30)):
        x, y, new = random.normal(size=(rows, width)), random.normal(size=(rows, 3)), random.normal(size=(7, width))
        for penalty in RIDGE:
            size = np.mean([sum((row - x.mean(0)) ** 2) for row in x])
            centred = x - x.mean(0)
            weights = np.linalg.solve(centred.T @ centred + penalty * size * np.eye(width), centred.T @ y)
            expected = y.mean(0) + (new - x.mean(0)) @ weights
            np.testing.assert_allclose(ridge(x, y, penalty).predict(new), expected, atol=1e-8)


def test_linear_is_the_ridge_of_the_lowest_error_at_validation(
    perturbations: Perturbations, vectors: GeneVectors
) -> None:
    split = splits(perturbations, 0)[0]
    known = filled(perturbations, split)
    errors, found = [], []
    for penalty in RIDGE:
        fitted = ridge(vectors.perturbed[split.train], known, penalty).predict
        wrong = (fitted(vectors.perturbed[split.validation]) - perturbations.change[split.validation]) ** 2
        errors.append(np.nanmean(wrong))
        found.append(fitted(vectors.perturbed[split.test]))
    np.testing.assert_allclose(linear(perturbations, split, vectors), found[int(np.argmin(errors))], atol=1e-10)


def test_bilinear_is_its_normal_equations(perturbations: Perturbations, vectors: GeneVectors) -> None:
    """W = (P'P + a)^-1 P' Y G (G'G + b)^-1, of centred P and of Y less its mean, for the best of all penalties."""
    split = splits(perturbations, 1)[0]
    mean, known = mean_change(perturbations, split), filled(perturbations, split)
    trained = vectors.perturbed[split.train].astype(np.float64)
    centre = trained.mean(0)
    p, g = trained - centre, vectors.genes.astype(np.float64)
    best = (np.inf, np.zeros(0))
    for b in RIDGE:
        for a in RIDGE:
            left = np.linalg.inv(p.T @ p + a * np.mean((p**2).sum(1)) * np.eye(5))
            right = np.linalg.inv(g.T @ g + b * np.mean((g**2).sum(1)) * np.eye(5))
            weights = left @ p.T @ (known - mean) @ g @ right
            chosen, found = (
                mean + (vectors.perturbed[rows] - centre) @ weights @ g.T for rows in (split.validation, split.test)
            )
            error = np.nanmean((chosen - perturbations.change[split.validation]) ** 2)
            best = min(best, (error, found), key=lambda each: each[0])
    np.testing.assert_allclose(bilinear(perturbations, split, vectors), best[1], atol=1e-9)


def test_linear_models_find_what_is_linear(perturbations: Perturbations, random: np.random.Generator) -> None:
    p, g = random.normal(size=(60, 3)), random.normal(size=(30, 3))
    change = (p @ random.normal(size=(3, 3)) @ g.T + random.normal(size=30)).astype(np.float32)
    data = replace(perturbations, perturbed=[f"P{row}" for row in range(60)], change=change)
    split = splits(data, 0)[0]
    vectors = GeneVectors(p.astype(np.float32), g.astype(np.float32))
    for predict in (linear, bilinear):
        error = np.abs(predict(data, split, vectors) - change[split.test]).mean()
        assert error < 0.1 * np.abs(mean_change(data, split) - change[split.test]).mean()


def test_the_nearest_perturbation_is_by_cosine(perturbations: Perturbations, vectors: GeneVectors) -> None:
    split = splits(perturbations, 2)[0]
    unknown = split.test[0]
    vectors.perturbed[unknown] = 0
    found = nearest(perturbations, split, vectors)
    np.testing.assert_allclose(found[0], mean_change(perturbations, split))
    for place, row in list(enumerate(split.test))[1:]:
        own = vectors.perturbed[row]
        known = {other: vectors.perturbed[other] for other in split.train}
        cosines = {other: own @ each / np.linalg.norm(own) / np.linalg.norm(each) for other, each in known.items()}
        closest = max(cosines, key=lambda other: cosines[other])
        expected = np.where(
            np.isnan(perturbations.change[closest]), mean_change(perturbations, split), perturbations.change[closest]
        )
        np.testing.assert_allclose(found[place], expected)


def test_vectors_are_of_the_artifact_and_zero_where_it_lacks_a_gene(perturbations: Perturbations) -> None:
    artifact = load().artifact
    symbols = artifact.names.symbols
    genes = [*symbols[100:129], "NOT_A_GENE"]
    found = gene_vectors(artifact, replace(perturbations, genes=genes, perturbed=[*symbols[5:16], "OCT4"]))
    table = np.asarray(artifact.embeddings, np.float64)
    centred = table - table.mean(0)
    np.testing.assert_allclose(found.genes[:29], centred[100:129], atol=1e-3)
    assert not found.genes[29].any()
    np.testing.assert_allclose(found.perturbed[:11], centred[5:16], atol=1e-3)
    np.testing.assert_allclose(found.perturbed[11], centred[symbols.index("POU5F1")], atol=1e-3)
    files = {name: entry for name, entry in artifact.manifest.files.items() if name != "embeddings.npy"}
    without = replace(artifact, manifest=replace(artifact.manifest, files=files))
    with pytest.raises(InputError, match="has no gene embeddings"):
        gene_vectors(without, perturbations)


def test_means_of_drugs_and_lines(response: DrugResponse) -> None:
    by_line, by_drug = splits(response, 0)
    for split, seen, unseen, of in (
        (by_line, "drug mean", "line mean", response.drug),
        (by_drug, "line mean", "drug mean", response.line),
    ):
        found = predict_baselines(response, split)
        mean = response.response[split.train].astype(np.float64).mean()
        np.testing.assert_allclose(found["mean"], mean)
        np.testing.assert_allclose(found[unseen], mean)
        for place, row in enumerate(split.test):
            own = [float(response.response[other]) for other in split.train if of[other] == of[row]]
            assert found[seen][place] == pytest.approx(sum(own) / len(own))


def test_additive_effects_are_least_squares(response: DrugResponse) -> None:
    """As of ones and zeros for every line and drug; whatever is held out adds nothing."""
    for split, of, other in zip(
        splits(response, 1), (response.drug, response.line), (response.line, response.drug), strict=True
    ):
        rows = split.train
        units, others = np.unique(of[rows]), np.unique(other[rows])
        design = np.concatenate([of[rows][:, None] == units, other[rows][:, None] == others], axis=1).astype(np.float64)
        target = response.response[rows] - response.response[rows].astype(np.float64).mean()
        fitted = np.linalg.lstsq(design, target)[0]
        found = predict_baselines(response, split)["additive"] - predict_baselines(response, split)["mean"]
        expected = {unit: fitted[place] for place, unit in enumerate(units)}
        shift = found[0] - expected[of[split.test[0]]]  # lines may give to drugs what they take
        for place, row in enumerate(split.test):
            assert found[place] == pytest.approx(expected[of[row]] + shift, abs=1e-3)


@pytest.mark.parametrize("name", ["ridge", "product ridge"])
def test_kernel_ridge_solves_its_equations(response: DrugResponse, name: str) -> None:
    for split in splits(response, 3):
        lines, drugs = line_kernel(response, split), drug_kernel(response.fingerprints)
        line, drug = response.line, response.drug
        of_lines, of_drugs = lines[line[:, None], line], drugs[drug[:, None], drug]
        full = 1 + of_lines + of_drugs + (of_lines * of_drugs if name == "product ridge" else 0)  # [M, M]
        train = split.train
        mean = response.response[train].astype(np.float64).mean()
        best = (np.inf, np.zeros(0))
        for penalty in PENALTIES:
            inner = full[train[:, None], train] + penalty * np.eye(len(train))
            weights = np.linalg.solve(inner, response.response[train] - mean)
            grid, shift = solve(response, split, kernels(response, split)[name], penalty)
            assert shift == pytest.approx(mean)
            size = np.abs(weights).max()
            np.testing.assert_allclose(grid[line[train], drug[train]] / size, weights / size, atol=1e-3)
            chosen, found = (mean + full[rows[:, None], train] @ weights for rows in (split.validation, split.test))
            error = ((chosen - response.response[split.validation]) ** 2).mean()
            best = min(best, (error, found), key=lambda each: each[0])
        found = kernel_ridge(response, split, kernels(response, split)[name])
        np.testing.assert_allclose(found, best[1], atol=2e-2)


def test_kernels_are_plain_loops(response: DrugResponse) -> None:
    split = splits(response, 0)[0]
    bits = response.fingerprints
    found = drug_kernel(bits)
    for a in range(11):
        for b in range(11):
            both = sum(1 for x, y in zip(bits[a], bits[b], strict=True) if x and y)
            either = sum(1 for x, y in zip(bits[a], bits[b], strict=True) if x or y)
            assert found[a, b] == pytest.approx(both / either)
    assert drug_kernel(np.zeros((2, 8))).tolist() == [[1, 1], [1, 1]]
    lines = line_kernel(response, split)
    trained = np.unique(response.line[split.train])
    centred = response.expression - response.expression[trained].mean(0)
    np.testing.assert_allclose(lines / lines[0, 0], (centred @ centred.T) / (centred[0] @ centred[0]), rtol=1e-4)
    assert lines.diagonal()[trained].mean() == pytest.approx(1)


def test_logistic_regression_is_that_of_scikit_learn(cells: DrugClass, random: np.random.Generator) -> None:
    """Of few genes, and of more genes than cells, where the space of the cells stands for them."""
    split = splits(cells, 0)[0]
    for width in (6, 300):
        x = random.normal(size=(200, width)) + 0.2 * cells.label[:, None]
        centred = x - x[split.train].mean(0)
        expected = [
            LogisticRegression(C=strength, max_iter=5000, tol=1e-8)
            .fit(centred[split.train], cells.label[split.train])
            .predict_proba(centred[split.test])[:, 1]
            for strength in STRENGTHS
        ]
        found = logistic(x, cells, split)
        assert min(np.abs(found - each).max() for each in expected) < 5e-3


def measured(data: TaskData, seeds: int, vectors: GeneVectors | None = None) -> pl.DataFrame:
    """The metrics of all baselines on the splits of some seeds."""
    return pl.concat(
        results_of(data, split, arm, "baseline", seed, predicted)
        for seed in range(seeds)
        for split in splits(data, seed)
        for arm, predicted in predict_baselines(data, split, vectors).items()
    )


def test_every_baseline_of_a_task_is_measured(
    perturbations: Perturbations, response: DrugResponse, cells: DrugClass
) -> None:
    vectors = gene_vectors(load().artifact, perturbations)
    expected = {
        "perturbation": {"no change", "mean change", "linear", "bilinear", "nearest perturbation"},
        "drug-response": {"mean", "drug mean", "line mean", "additive", "ridge", "product ridge"},
        "drug-class": {"majority", "total count", "logistic regression"},
    }
    for data in (perturbations, response, cells):
        found = measured(data, 2, vectors if isinstance(data, Perturbations) else None)
        assert found.schema == SCHEMA
        assert set(found["arm"]) == expected[data.kind]
        assert set(found["metric"]) == set(METRICS[data.kind])
        assert set(found["seed"]) == {0, 1}
        assert set(found["kind"]) == {"baseline"}
        assert set(found["split"]) == {split.name for split in splits(data, 0)}
    without = measured(perturbations, 1)
    assert set(without["arm"]) == {"no change", "mean change"}


def test_logistic_regression_finds_the_gene_that_tells(cells: DrugClass) -> None:
    found = measured(cells, 3).filter(metric="AUROC")
    means = dict(found.group_by("arm").agg(pl.col("value").mean()).rows())
    assert means["majority"] == 0.5
    assert means["logistic regression"] > 0.8
    assert abs(means["total count"] - 0.5) < 0.25
