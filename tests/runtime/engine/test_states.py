"""Cell states: profiles and cells to a context of the virtual cell, against plain loops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

from ugrn.cli.main import app
from ugrn.runtime import load
from ugrn.runtime.artifact.folder import Artifact, open_artifact
from ugrn.runtime.engine.states import CellState, read_each_cell, read_states
from ugrn.runtime.engine.units import CONVERSIONS, Cells, mean_profiles
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.annotations import Groups
from ugrn.runtime.files.matrices import DenseMatrix

GENES = [f"GENE{row}" for row in range(12)]


@pytest.fixture
def opened(artifact: Path) -> Artifact:
    return open_artifact(artifact)


def with_scale(opened: Artifact, scale: str) -> Artifact:
    return replace(opened, manifest=replace(opened.manifest, scale=scale))


@pytest.fixture
def counts() -> np.ndarray:
    values = np.random.default_rng(0).poisson(3.0, (40, 12)).astype(np.float32)
    values[:, 11] = 1.0
    values[:20, 2] *= 5
    return values


def write_cells(path: Path, values: np.ndarray, layout: str = "dense") -> Path:
    matrix = {"dense": lambda x: x, "csr": sp.csr_matrix, "csc": sp.csc_matrix}[layout](values)
    groups = pd.Categorical(["B cell"] * 20 + ["T/NK"] * 20)
    obs = pd.DataFrame({"cell_type": groups}, index=[str(row) for row in range(len(values))])
    var = pd.DataFrame({"feature_name": GENES}, index=[f"ENSG{row}" for row in range(12)])
    anndata.AnnData(matrix, obs, var).write_h5ad(path)
    return path


@pytest.mark.parametrize("layout", ["dense", "csr", "csc"])
def test_z_scores_of_groups_against_plain_loops(
    tmp_path: Path, opened: Artifact, counts: np.ndarray, layout: str
) -> None:
    path = write_cells(tmp_path / "cells.h5ad", counts, layout)
    states = read_states(path, with_scale(opened, "z-score"), "cell_type", size=12)
    assert [state.name for state in states] == ["B cell", "T/NK"]
    logs = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).astype(np.float64)
    varying = [gene for gene in range(12) if logs[:, gene].std() > 1e-3]
    for state, cells in zip(states, (range(20), range(20, 40)), strict=True):
        raw = {g: (np.mean([logs[c, g] for c in cells]) - logs[:, g].mean()) / logs[:, g].std() for g in varying}
        middle = np.mean(list(raw.values()))
        found = dict(zip(state.genes, state.values, strict=True))
        assert len(found) == len(varying)
        for gene, value in raw.items():
            assert found[GENES[gene]] == pytest.approx(value - middle, abs=1e-4)
    assert "GENE2" in states[0].genes[:2]


def test_other_scales(tmp_path: Path, opened: Artifact, counts: np.ndarray) -> None:
    path = write_cells(tmp_path / "cells.h5ad", counts)
    share = counts / counts.sum(1, keepdims=True) * 1e4

    def profile(scale: str) -> dict[str, float]:
        (state,) = read_states(path, with_scale(opened, scale))
        return dict(zip(state.genes, state.values.tolist(), strict=True))

    for gene in (0, 2, 5):
        name = GENES[gene]
        assert profile("ln-cp10k")[name] == pytest.approx(np.log1p(share[:, gene]).mean(), rel=1e-4)
        assert profile("cp10k")[name] == pytest.approx(share[:, gene].mean(), rel=1e-4)
        assert profile("ln-counts")[name] == pytest.approx(np.log1p(counts[:, gene]).mean(), rel=1e-4)
        assert profile("log2-cp10k")[name] == pytest.approx(np.minimum(np.log2(1 + share[:, gene]), 5).mean(), rel=1e-4)
    bins = profile("bins")
    assert sorted(bins.values()) == [float(np.ceil(rank * 50 / 12)) for rank in range(1, 13)]
    means = np.log1p(share).mean(0)
    assert max(bins, key=lambda gene: bins[gene]) == GENES[int(means.argmax())]
    write_cells(path, np.log1p(counts))
    with pytest.raises(InputError, match="other numbers than counts"):
        profile("ln-counts")


def test_profile_moves_the_context(tmp_path: Path, artifact: Path) -> None:
    scorer = load(artifact)
    pairs = [("GENE1", "GENE2"), ("GENE4", "GENE9")]
    (tmp_path / "same.csv").write_text("gene,value\nGENE3,0\nGENE7,0\nGENE50,0\n")
    (same,) = read_states(tmp_path / "same.csv", scorer.artifact)
    assert scorer.in_state(same).score(pairs).equals(scorer.score(pairs))
    other = scorer.in_state(CellState("", ["GENE3", "GENE8"], np.array([2.0, -1.0], np.float32)))
    assert other.artifact.digest != scorer.artifact.digest
    assert not other.score(pairs).equals(scorer.score(pairs))


def test_bad_states_are_one_clear_error(tmp_path: Path, opened: Artifact, counts: np.ndarray) -> None:
    cells = write_cells(tmp_path / "cells.h5ad", counts)
    with pytest.raises(InputError, match="no annotation 'celltype'.*cell_type"):
        read_states(cells, with_scale(opened, "z-score"), "celltype")
    with pytest.raises(InputError, match="does not say how cells become its units"):
        read_states(cells, with_scale(opened, ""))
    (tmp_path / "p.csv").write_text("gene,value\nNOSUCH,1\n")
    with pytest.raises(InputError, match="0 of 1 genes"):
        read_states(tmp_path / "p.csv", opened)
    (tmp_path / "p.csv").write_text("gene,value\nGENE1,high\n")
    with pytest.raises(InputError, match="cannot be read as a profile"):
        read_states(tmp_path / "p.csv", opened)
    with pytest.raises(InputError, match="is a profile, all of which"):
        read_states(tmp_path / "p.csv", opened, "cell_type")
    with pytest.raises(InputError, match="name an annotation with --groupby"):
        read_states(cells, with_scale(opened, "z-score"))
    write_cells(tmp_path / "scaled.h5ad", counts - 2)
    with pytest.raises(InputError, match="not scaled"):
        read_states(tmp_path / "scaled.h5ad", opened, "cell_type")
    (tmp_path / "p.csv").write_text("gene,value\nGENE1,1\nGENE1,2\n")
    with pytest.raises(InputError, match="repeated genes"):
        read_states(tmp_path / "p.csv", opened)
    (tmp_path / "x.h5ad").write_bytes(b"not hdf5")
    with pytest.raises(InputError, match="not a readable"):
        read_states(tmp_path / "x.h5ad", opened)


def test_one_result_per_group(tmp_path: Path, artifact: Path, counts: np.ndarray) -> None:
    cells = write_cells(tmp_path / "cells.h5ad", counts)
    (tmp_path / "pairs.csv").write_text("source,target\nGENE1,GENE2\nGENE4,GENE9\n")
    arguments = ["score", str(tmp_path / "pairs.csv"), "--artifact", str(artifact), "-o", str(tmp_path / "e.csv")]
    done = CliRunner().invoke(app, [*arguments, "--context-values", str(cells), "--groupby", "cell_type"])
    assert done.exit_code == 0, done.output
    first, second = ((tmp_path / f"e.{name}.csv").read_text() for name in ("B-cell", "T-NK"))
    assert first != second
    assert not (tmp_path / "e.csv").exists()
    (tmp_path / "genes.txt").write_text("GENE1\nGENE2\nGENE9\n")
    arguments[:2] = ["network", "--sources", str(tmp_path / "genes.txt")]
    done = CliRunner().invoke(app, [*arguments, "--context-values", str(cells), "--groupby", "cell_type"])
    assert done.exit_code == 0, done.output
    assert len((tmp_path / "e.T-NK.csv").read_text().splitlines()) == 3 * 59 + 1
    refused = CliRunner().invoke(app, [*arguments, "--groupby", "cell_type"])
    assert refused.exit_code == 2
    arguments[-1] = str(tmp_path / "e.csv.gz")
    done = CliRunner().invoke(app, [*arguments, "--context-values", str(cells), "--groupby", "cell_type"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "e.T-NK.csv.gz").is_file()
    arguments[-1] = "-"
    refused = CliRunner().invoke(app, [*arguments, "--context-values", str(cells), "--groupby", "cell_type"])
    assert "cell_type has 2 groups" in str(refused.exception)


@pytest.mark.parametrize("scale", CONVERSIONS)
def test_each_cell_is_a_state_of_its_own(
    tmp_path: Path, opened: Artifact, counts: np.ndarray, scale: str, random: np.random.Generator
) -> None:
    """Against cells whose groups are named one by one; the columns are mixed, and two are of one gene."""
    order = random.permutation(12)
    names = [*(GENES[gene] for gene in order), "GENE3", "NOSUCH"]
    values = np.concatenate([counts[:, order], counts[:, :2]], axis=1)
    obs = pd.DataFrame({"own": [f"c{row}" for row in range(40)]}, index=[str(row) for row in range(40)])
    anndata.AnnData(values, obs, pd.DataFrame(index=[str(n) for n in range(14)])).write_h5ad(tmp_path / "c.h5ad")
    with h5py.File(tmp_path / "c.h5ad", "a") as file:
        file["var"]["feature_name"] = [name.encode() for name in names]
    found = read_each_cell(tmp_path / "c.h5ad", opened.names, scale)
    assert found.values.shape == (40, 12)
    assert found.values.dtype == np.float32
    assert sorted(found.genes.tolist()) == list(range(12))
    states = {state.name: state for state in read_states(tmp_path / "c.h5ad", with_scale(opened, scale), "own", 12)}
    for row in range(40):
        known = dict(zip(states[f"c{row}"].genes, states[f"c{row}"].values, strict=True))
        for gene, value in zip(found.genes, found.values[row], strict=True):
            assert value == known.get(f"GENE{gene}", 0.0)


def test_z_scores_of_each_cell_against_plain_loops(tmp_path: Path, opened: Artifact, counts: np.ndarray) -> None:
    found = read_each_cell(write_cells(tmp_path / "cells.h5ad", counts, "csr"), opened.names, "z-score")
    logs = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).astype(np.float64)
    varying = [gene for gene in range(12) if logs[:, gene].std() > 1e-3]
    for row in range(40):
        raw = {gene: (logs[row, gene] - logs[:, gene].mean()) / logs[:, gene].std() for gene in varying}
        for gene, value in raw.items():
            assert found.values[row, gene] == pytest.approx(value - np.mean(list(raw.values())), abs=1e-4)


def test_cells_one_by_one_that_cannot_be_read(tmp_path: Path, opened: Artifact, counts: np.ndarray) -> None:
    cells = write_cells(tmp_path / "cells.h5ad", counts)
    with pytest.raises(InputError, match="40 cells found; at least 41"):
        read_each_cell(cells, opened.names, "z-score", fewest=41)
    with pytest.raises(InputError, match="does not say how cells become its units"):
        read_each_cell(cells, opened.names, "")
    with pytest.raises(InputError, match=r"expected cells as \.h5ad"):
        read_each_cell(tmp_path / "profile.csv", opened.names, "z-score")


def mean_bins(profile: np.ndarray) -> np.ndarray:
    """The bins of the genes of one cell."""
    cells = Cells(DenseMatrix(profile[None]), False, [], Groups.one(1))
    return mean_profiles(cells, np.arange(len(profile)), "bins")[""]


def test_the_highest_bin_is_50_whatever_the_number_of_genes() -> None:
    for count in range(1, 1500):
        profile = mean_bins(np.arange(1, count + 1, dtype=np.float32))
        assert profile.tolist() == [-(-50 * rank // count) for rank in range(1, count + 1)]


def test_genes_that_tie_share_a_bin_wherever_they_stand(random: np.random.Generator) -> None:
    profile = random.integers(0, 4, 400).astype(np.float32)
    bins = mean_bins(profile)
    shown = np.flatnonzero(profile > 0)
    for gene in shown.tolist():
        below, same = ((profile[shown] < profile[gene]).sum(), (profile[shown] == profile[gene]).sum())
        assert bins[gene] == np.ceil((below + (same + 1) / 2) * 50 / len(shown))
    assert not bins[profile == 0].any()
