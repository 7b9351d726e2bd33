"""Cell-specific networks of cells with planted regulons, and those of cells near them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest

from ugrn.export.networks.cell_networks import CellNetworks
from ugrn.export.networks.per_cell import (
    CellNetworkSettings,
    listed_basis,
    read_many_cells,
    scored_basis,
    write_per_cell,
)
from ugrn.export.networks.reference import write_from_reference
from ugrn.export.networks.summary import CellNetworkSummary
from ugrn.runtime import NetworkSettings, load
from ugrn.runtime.artifact.folder import Artifact, open_artifact
from ugrn.runtime.errors import InputError
from ugrn.runtime.progress import Progress

GENES = [f"GENE{row}" for row in range(60)] + [f"OTHER{row}" for row in range(200)]
TARGETS = {"GENE1": range(10, 20), "GENE2": range(20, 30), "GENE3": range(30, 38), "GENE4": range(38, 46)}
SETTINGS = CellNetworkSettings(top_share=0.1)


def quiet(unit: str) -> Progress:
    assert unit in ("cells", "regulons")
    return lambda done, total: None


def expression(random: np.random.Generator, kinds: np.ndarray) -> np.ndarray:
    """Targets of GENE1 are strong in cells of kind 1, of GENE2 in the others, of GENE3 in all, of GENE4 in none."""
    mean = np.full((len(kinds), len(GENES)), 2.0)
    mean[np.ix_(kinds == 1, TARGETS["GENE1"])] = 40.0
    mean[np.ix_(kinds == 0, TARGETS["GENE2"])] = 40.0
    mean[:, TARGETS["GENE3"]] = 400.0
    mean[:, TARGETS["GENE4"]] = 0.02
    return random.poisson(mean).astype(np.float32)


def write(path: Path, values: np.ndarray, prefix: str = "cell") -> Path:
    obs = pd.DataFrame(index=[f"{prefix}{row}" for row in range(len(values))])
    anndata.AnnData(values, obs, pd.DataFrame(index=GENES)).write_h5ad(path)
    return path


@pytest.fixture
def opened(artifact: Path) -> Artifact:
    return open_artifact(artifact)


@pytest.fixture
def regulons(tmp_path: Path) -> Path:
    rows = [(source, f"GENE{target}", 1 + target) for source, targets in TARGETS.items() for target in targets]
    rows += [("GENE5", "GENE50", 1), ("GENE5", "GENE51", 1), ("NOSUCH", "GENE1", 1)]
    path = tmp_path / "regulons.csv"
    pl.DataFrame(rows, schema=["source", "target", "importance"], orient="row").write_csv(path)
    return path


@pytest.fixture
def written(
    random: np.random.Generator, tmp_path: Path, opened: Artifact, regulons: Path
) -> tuple[np.ndarray, CellNetworkSummary]:
    """The kinds of 150 cells, and what was said of their networks, in net.h5; the cells are in cells.h5ad."""
    kinds = random.integers(0, 2, 150)
    path = write(tmp_path / "cells.h5ad", expression(random, kinds))
    cells = read_many_cells(path, opened.names)
    basis = listed_basis(regulons, opened.names)
    return kinds, write_per_cell(basis, cells, tmp_path / "net.h5", opened, SETTINGS, quiet)


def test_planted_regulons_are_found(
    written: tuple[np.ndarray, CellNetworkSummary], opened: Artifact, tmp_path: Path
) -> None:
    kinds, summary = written
    found = CellNetworks.open(tmp_path / "net.h5")
    names = found.regulons.genes
    assert [names[row] for row in found.regulons.source] == ["GENE1", "GENE2", "GENE3", "GENE4"]
    active = found.active
    assert (active[:, 0] == (kinds == 1)).mean() > 0.98
    assert (active[:, 1] == (kinds == 0)).mean() > 0.98
    assert active[:, 2].all()
    assert not active[:, 3].any()
    network = found.edges("cell0")
    own = {names[source] for source in network.sources}
    assert own == {"GENE3", "GENE1" if active[0, 0] else "GENE2"} or active[0, 0] == active[0, 1]
    weights = {
        names[target]: weight for target, weight in zip(found.regulons.target, found.regulons.weight, strict=True)
    }
    assert weights["GENE12"] == 13
    assert (summary.somewhere, summary.everywhere, summary.nowhere) == (2, 1, 1)
    assert (summary.cells, summary.regulons, summary.edges) == (150, 4, 36)
    assert summary.regulons_per_cell == pytest.approx(active.sum(1).mean(), abs=0.01)
    assert summary.edges_per_cell == pytest.approx((active @ [10, 10, 8, 8]).mean(), abs=0.01)
    assert found.metadata["artifact"] == opened.digest
    assert found.metadata["cells"] == "cells.h5ad"
    assert found.metadata["network"]["file"] == "regulons.csv"
    assert (found.metadata["top_share"], found.metadata["min_targets"]) == (0.1, 5)


def test_what_is_left_out_is_listed(written: tuple[np.ndarray, CellNetworkSummary], tmp_path: Path) -> None:
    _, summary = written
    assert summary.rejected == {"network": {"unknown gene": 1}, "regulons": {"fewer than 5 targets in the cells": 1}}
    assert summary.rejects == tmp_path / "net.h5.rejects.csv"
    rejects = pl.read_csv(summary.rejects)
    assert rejects.select("list", "name").rows() == [("network", "NOSUCH"), ("regulons", "GENE5")]
    assert rejects["reason"][1] == "fewer than 5 targets in the cells (2)"
    sidecar = json.loads((tmp_path / "net.h5.json").read_text())
    assert sidecar["somewhere"] == 2
    assert sidecar["settings"]["top_share"] == 0.1


def test_a_second_run_gives_the_same_networks(
    written: tuple[np.ndarray, CellNetworkSummary], opened: Artifact, regulons: Path, tmp_path: Path
) -> None:
    cells = read_many_cells(tmp_path / "cells.h5ad", opened.names)
    write_per_cell(listed_basis(regulons, opened.names), cells, tmp_path / "again.h5", opened, SETTINGS, quiet)
    first, again = (CellNetworks.open(tmp_path / name) for name in ("net.h5", "again.h5"))
    assert np.array_equal(first.activity, again.activity)
    assert np.array_equal(first.threshold, again.threshold)


@pytest.mark.parametrize(
    "settings",
    [NetworkSettings(top_k=7), NetworkSettings(top_k=1, by="target"), NetworkSettings(min_probability=0.5)],
    ids=["top-k", "by target", "min-probability"],
)
def test_a_scored_network_is_the_one_that_is_written(artifact: Path, tmp_path: Path, settings: NetworkSettings) -> None:
    scorer = load(artifact)
    (tmp_path / "tfs.txt").write_text("GENE9\nNOSUCH\nGENE2\n")
    told: list[int] = []
    basis = scored_basis(scorer, tmp_path / "tfs.txt", None, settings, lambda done, total: told.append(done))
    with pytest.warns(UserWarning, match="1 sources were not used"):
        table = scorer.network(
            tmp_path / "tfs.txt", top_k=settings.top_k, by=settings.by, min_probability=settings.min_probability
        )
    symbols = scorer.artifact.names.symbols
    ends = zip(basis.network.sources, basis.network.targets, strict=True)
    assert basis.weights is not None
    found = {(symbols[s], symbols[t]): p for (s, t), p in zip(ends, basis.weights.tolist(), strict=True)}
    assert found == pytest.approx({(s, t): p for s, t, p in table.iter_rows()})
    assert np.array_equal(basis.network.keys(), np.unique(basis.network.keys()))
    assert told[-1] == 2 * 60
    assert basis.rejects["name"].to_list() == ["NOSUCH"]


def test_a_scored_network_without_edges_is_an_error(artifact: Path) -> None:
    with pytest.raises(InputError, match="lower --min-probability"):
        scored_basis(load(artifact), None, None, NetworkSettings(min_probability=1.0), lambda done, total: None)


def test_cells_that_cannot_be_used(
    random: np.random.Generator, tmp_path: Path, opened: Artifact, regulons: Path
) -> None:
    few = write(tmp_path / "few.h5ad", expression(random, np.zeros(19)))
    with pytest.raises(InputError, match="19 cells; at least 20"):
        read_many_cells(few, opened.names)
    cells = read_many_cells(write(tmp_path / "cells.h5ad", expression(random, np.zeros(30))), opened.names)
    basis = listed_basis(regulons, opened.names)
    with pytest.raises(InputError, match="none of 5 regulons has 11 targets among its genes; the largest has 10"):
        write_per_cell(basis, cells, tmp_path / "net.h5", opened, CellNetworkSettings(min_targets=11), quiet)
    for wrong in ({"top_share": 0.0}, {"top_share": 1.1}, {"min_targets": 0}):
        with pytest.raises(InputError, match="expected a share above 0"):
            CellNetworkSettings(**wrong)
    assert not (tmp_path / "net.h5").exists()


def test_other_cells_get_the_networks_of_their_neighbours(
    random: np.random.Generator, written: tuple[np.ndarray, CellNetworkSummary], opened: Artifact, tmp_path: Path
) -> None:
    kinds = random.integers(0, 2, 40)
    query = write(tmp_path / "query.h5ad", expression(random, kinds), "other")
    reference = CellNetworks.open(tmp_path / "net.h5")
    output = tmp_path / "query-net.h5"
    summary = write_from_reference(query, reference, tmp_path / "cells.h5ad", output, opened, 5, quiet)
    found = CellNetworks.open(output)
    assert found.cells == [f"other{row}" for row in range(40)]
    assert (found.active[:, 0] == (kinds == 1)).mean() > 0.95
    assert (found.active[:, 1] == (kinds == 0)).mean() > 0.95
    assert found.active[:, 2].all()
    assert set(np.round(found.activity * 5).ravel().tolist()) <= {0, 1, 2, 3, 4, 5}
    assert found.metadata["neighbours"] == 5
    assert found.metadata["network"]["cells"] == "cells.h5ad"
    assert (summary.cells, summary.everywhere, summary.nowhere, summary.rejects) == (40, 1, 1, None)


def test_neighbours_are_those_of_a_plain_loop(
    random: np.random.Generator, written: tuple[np.ndarray, CellNetworkSummary], opened: Artifact, tmp_path: Path
) -> None:
    values = expression(random, random.integers(0, 2, 6))
    query = write(tmp_path / "query.h5ad", values)
    reference = CellNetworks.open(tmp_path / "net.h5")
    write_from_reference(query, reference, tmp_path / "cells.h5ad", tmp_path / "q.h5", opened, 3, quiet)
    share = CellNetworks.open(tmp_path / "q.h5").activity
    base = read_many_cells(tmp_path / "cells.h5ad", opened.names).block(0, 150).astype(np.float64)
    left, right = (np.log1p(each / each.sum(1, keepdims=True) * 1e4)[:, :60] for each in (base, values.astype(float)))
    varying = left.std(0) > 0
    mean, deviation = left.mean(0)[varying], left.std(0)[varying]
    left, right = ((each[:, varying] - mean) / deviation for each in (left, right))
    for row, cell in enumerate(right):
        likeness = [cell @ other / np.linalg.norm(cell) / np.linalg.norm(other) for other in left]
        nearest = np.argsort(likeness)[::-1][:3]
        np.testing.assert_allclose(share[row], reference.active[nearest].mean(0), atol=1e-6)


def _other_cells(folder: Path) -> None:
    cells = anndata.read_h5ad(folder / "cells.h5ad")
    cells[10:].copy().write_h5ad(folder / "cells.h5ad")


def _other_genes(folder: Path) -> None:
    cells = anndata.read_h5ad(folder / "query.h5ad")
    cells[:, 55:].copy().write_h5ad(folder / "query.h5ad")


@pytest.mark.parametrize(
    ("spoil", "neighbours", "words"),
    [
        (_other_cells, 5, "10 of 150 cells of .* are not in it, e.g. cell0"),
        (_other_genes, 5, "have 5 genes of the artifact in common"),
        (lambda folder: None, 151, "found 151 neighbours; expected from 1 to the reference's 150"),
        (lambda folder: None, 0, "found 0 neighbours"),
    ],
)
def test_references_that_do_not_fit(
    random: np.random.Generator,
    written: tuple[np.ndarray, CellNetworkSummary],
    opened: Artifact,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    neighbours: int,
    words: str,
) -> None:
    query = write(tmp_path / "query.h5ad", expression(random, np.zeros(5)))
    spoil(tmp_path)
    reference = CellNetworks.open(tmp_path / "net.h5")
    with pytest.raises(InputError, match=words):
        write_from_reference(query, reference, tmp_path / "cells.h5ad", tmp_path / "q.h5", opened, neighbours, quiet)
    assert not (tmp_path / "q.h5").exists()
