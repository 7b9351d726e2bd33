"""The real data of the tasks: what is there is what the data's own notes say (needs the real data)."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from bench.grnformer.data import DrugClass, DrugResponse, Perturbations
from bench.grnformer.drug_response import BY_CID, BY_NAME, DRUGS, fingerprints
from bench.grnformer.files import read_table, require
from bench.grnformer.perturbations import agreement, read_changes, read_fish, without_own
from bench.grnformer.read import read_tasks

from ugrn.runtime.errors import InputError


@pytest.fixture(scope="module")
def tasks(data: Path) -> Path:
    folder = data / "tasks"
    if not folder.is_dir():
        pytest.skip("the tasks' data (shared/data/tasks beside the repository) is not here")
    return folder


@pytest.fixture(scope="module")
def perturbed(tasks: Path) -> list[Any]:
    return list(read_tasks(tasks, "perturbation"))


@pytest.fixture(scope="module")
def responses(tasks: Path) -> list[Any]:
    return list(read_tasks(tasks, "drug-response"))


def test_perturb_fish_is_differences_of_means(tasks: Path, perturbed: list[Perturbations]) -> None:
    fish = perturbed[0]
    assert (fish.name, len(fish), len(fish.genes)) == ("perturbfish_astrocyte", 126, 277)
    assert fish.control is not None
    assert fish.control.shape == (738 + 1313, 277)
    assert fish.control.dtype == fish.change.dtype == np.float32
    assert "2,159 cells with two targets are left out" in fish.cautions[0]
    assert "CREBBP" in fish.cautions[0]
    assert "CREBBP" not in fish.perturbed
    assert not [name for name in fish.perturbed if name.startswith("Control") or "+" in name]
    table = pl.read_parquet(tasks / "perturbation_prediction" / "perturbfish_astrocyte_counts.parquet")
    row, gene = fish.perturbed.index("CTNNB1"), "VIM"
    assert (table["perturbation"] == "CTNNB1").sum() == 305
    totals = table.select(pl.sum_horizontal(pl.exclude("cell", "perturbation"))).to_series()
    value = (1 + 1e4 * table[gene] / totals).log()
    is_control = table["perturbation"].is_in(["Control_NT", "Control_ST"])
    expected = value.filter(table["perturbation"] == "CTNNB1").mean() - value.filter(is_control).mean()
    assert fish.change[row, fish.genes.index(gene)] == pytest.approx(expected, abs=1e-4)


def test_published_changes_are_read(tasks: Path, perturbed: list[Perturbations], random: np.random.Generator) -> None:
    """Those of LUHMES less the control's, those of the T cells as they stand."""
    for found, name, column, control, count in (
        (perturbed[1], "luhmes_cropseq_lfc", "log_fc", "Nontargeting", 14),
        (perturbed[2], "tcell_ko_stim_scmageck", "score", None, 20),
    ):
        assert found.change.shape == (count, 6000)
        assert found.control is None
        assert not {"Nontargeting", "NegCtrl"} & set(found.perturbed)
        table = pl.read_parquet(tasks / "perturbation_prediction" / f"{name}.parquet")
        for row, gene in zip(random.integers(count, size=5), random.integers(6000, size=5), strict=True):
            own = table.filter(gene=found.genes[gene])
            [value] = own.filter(perturbation=found.perturbed[row])[column]
            less = own.filter(perturbation=control)[column][0] if control else 0.0
            if not np.isnan(found.change[row, gene]):
                assert found.change[row, gene] == pytest.approx(value - less, abs=1e-6)


def test_the_perturbed_gene_itself_is_not_asked_for(perturbed: list[Perturbations]) -> None:
    for found in perturbed:
        for row, target in enumerate(found.perturbed):
            if target in found.genes:
                assert np.isnan(found.change[row, found.genes.index(target)])
    missing = [int(np.isnan(found.change).sum()) for found in perturbed]
    direct = [sum(target in found.genes for target in found.perturbed) for found in perturbed]
    assert direct == [64, 10, 14]
    assert missing == [65, 10, 16]  # three targets are there by a newer name
    assert not np.isinf(np.concatenate([found.change.ravel() for found in perturbed])).any()


def test_responses_are_of_lines_with_expression_and_drugs_with_structure(responses: list[DrugResponse]) -> None:
    sizes = [(each.name, len(each), len(each.lines), len(each.drugs)) for each in responses]
    assert sizes == [
        ("gdsc_tgsa", 82833, 580, 170),
        ("gdsc_deepcdr", 103833, 568, 223),
        ("ccle_cadrres", 4801, 316, 16),
    ]
    for each in responses:
        assert each.expression.shape == (len(each.lines), 706)
        assert each.fingerprints.shape == (len(each.drugs), 1024)
        assert set(np.unique(each.fingerprints)) == {0, 1}
        assert len(set(zip(each.line.tolist(), each.drug.tolist(), strict=True))) == len(each)
        assert np.isfinite(each.response).all()
        assert len(each.tissues) == len(each.lines)
    np.testing.assert_allclose(responses[0].expression.std(0), 1, atol=1e-4)
    said = " ".join(responses[1].cautions)
    assert "28 of 251 drugs have no structure" in said
    assert "401 of 969 cell lines have no expression" in said
    assert "8 of 24 drugs have no structure" in " ".join(responses[2].cautions)


def test_responses_are_those_of_the_files(tasks: Path, responses: list[DrugResponse]) -> None:
    folder = tasks / "drug_response"
    first, second, third = responses
    table = pl.read_parquet(folder / "gdsc_ln_ic50_tgsa.parquet")
    for row in (0, 777, len(table) - 1):
        drug, line, value = table.row(row)
        place = (first.drug == first.drugs.index(drug)) & (first.line == first.lines.index(line))
        assert first.response[place].tolist() == [pytest.approx(value, abs=1e-5)]
    twice = pl.read_parquet(folder / "gdsc_ln_ic50_deepcdr.parquet")
    both = twice.filter(pl.col("gdsc_drug_id").is_in(["GDSC:156", "GDSC:1066"]))  # AZD6482 under two ids
    means = dict(both.group_by("depmap_id").agg(pl.col("ln_ic50").mean()).rows())
    drug = second.drugs.index("AZD6482")
    rows = np.flatnonzero(second.drug == drug)
    assert len(rows) > 500
    for row in rows[:20]:
        assert second.response[row] == pytest.approx(means[second.lines[second.line[row]]], abs=1e-4)
    ids = dict(read_table(folder / "cell_lines.tsv", ("CCLE_ID", "depmap_id")).rows())
    binary = pl.read_parquet(folder / "ccle_log_ic50_cadrres.parquet").filter(pl.col("ccle_id").is_in(list(ids)))
    known = binary.filter(pl.col("drug") == "Sorafenib").rows()
    drug, checked = third.drugs.index("Sorafenib"), 0
    for line, _, value in known:
        if ids[line] in third.lines:
            place = (third.drug == drug) & (third.line == third.lines.index(ids[line]))
            assert third.response[place].tolist() == [pytest.approx(value * 0.6931472, abs=1e-4)]
            checked += 1
    assert checked > 200


def test_classes_are_those_of_the_files(tasks: Path) -> None:
    glioblastoma, pc9 = read_tasks(tasks, "drug-class")
    assert isinstance(glioblastoma, DrugClass)
    assert isinstance(pc9, DrugClass)
    assert glioblastoma.expression.shape == (5000, 300)
    assert int(glioblastoma.label.sum()) == 2500
    assert sorted(set(glioblastoma.group)) == ["PW030", "PW032", "PW034", "PW036", "PW040"]
    assert "SPP1" in glioblastoma.genes
    assert pc9.expression.shape == (1658, 12925)
    assert int(pc9.label.sum()) == 1243
    assert len(set(pc9.group)) == 1
    assert "batch" in pc9.cautions[0]
    sums = np.expm1(glioblastoma.expression.astype(np.float64)).sum(1)
    np.testing.assert_allclose(sums, 1e4, rtol=1e-3)
    with h5py.File(tasks / "single_cell_drug" / "glioblastoma_panobinostat_300genes.h5ad") as file:
        start, end = file["X"]["indptr"][:2]
        assert glioblastoma.totals[0] == file["X"]["data"][start:end].sum()


def test_quick_is_a_part_of_the_main_data_set(tasks: Path) -> None:
    [fish] = read_tasks(tasks, "perturbation", quick=True)
    [gdsc] = read_tasks(tasks, "drug-response", quick=True)
    [cells] = read_tasks(tasks, "drug-class", quick=True)
    assert isinstance(gdsc, DrugResponse)
    assert (len(fish), len(gdsc.lines), len(cells)) == (126, 145, 1250)


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    for kind, names in (
        ("perturbation", ["perturbfish_astrocyte_counts.parquet", "tcell_ko_stim_scmageck.parquet"]),
        ("drug-response", ["ccle_expression_706.parquet", "drug_smiles.tsv", "cell_lines.tsv"]),
        ("drug-class", ["glioblastoma_panobinostat_300genes.h5ad", "pc9_erlotinib_day11.h5ad"]),
    ):
        with pytest.raises(InputError, match="files are missing") as raised:
            read_tasks(tmp_path, kind)  # type: ignore[arg-type]
        assert all(name in str(raised.value) for name in names)
    (tmp_path / "there").touch()
    assert require(tmp_path, ["there"]) == [tmp_path / "there"]


def test_files_that_are_no_tables_or_lack_a_column_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 is not all of it")
    with pytest.raises(InputError, match="expected a table with the columns a"):
        read_table(path, ("a",))
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(InputError, match="expected a table with the columns a, b"):
        read_table(path, ("a", "b"))
    pl.DataFrame({"b": [2], "a": [1]}).write_parquet(path)
    assert read_table(path, ("a",), others=True).columns == ["a", "b"]
    text = tmp_path / "x.tsv"
    text.write_text("drug\tsmiles\nA\t\nB\tC\n")
    assert read_table(text, ("drug", "smiles")).rows() == [("A", ""), ("B", "C")]


def test_cells_without_controls_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cells.parquet"
    pl.DataFrame({"cell": ["a"] * 20, "perturbation": ["A"] * 20, "G": [1] * 20}).write_parquet(path)
    with pytest.raises(InputError, match="0 control cells, 1 targets of 10 cells or more"):
        read_fish(path)


def test_changes_are_placed_by_gene_and_unclear_symbols_by_id(tmp_path: Path) -> None:
    rows = [
        ("E1", "TP53", "MYC", 0.5),
        ("E2", "X", "MYC", 0.6),
        ("E3", "X", "TP53", 0.7),
        ("E4", "", "TP53", 0.8),
        ("E1", "TP53", "TP53", 0.9),
        ("E1", "TP53", "none", 1.0),
    ]
    path = tmp_path / "changes.parquet"
    schema = ["ensembl", "gene", "perturbation", "log_fc"]
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)
    found = read_changes("made", path, "log_fc", "none", ())
    assert found.perturbed == ["MYC", "TP53"]
    assert found.genes == ["TP53", "E2", "E3", "E4"]
    expected = [[0.5, 0.6, np.nan, np.nan], [np.nan, np.nan, 0.7, 0.8]]
    np.testing.assert_allclose(found.change, np.array(expected, np.float32))
    less = read_changes("made", path, "log_fc", "none", (), against_rest=True)
    expected = [[-0.5, np.nan, np.nan, np.nan], [np.nan] * 4]
    np.testing.assert_allclose(less.change, np.array(expected, np.float32))
    with pytest.raises(InputError, match="no controls among its 3 perturbations"):
        read_changes("made", path, "log_fc", "controls", ())


def test_a_gene_is_found_by_its_other_names() -> None:
    found = without_own(["C10orf54", "TP53", "NOT_A_GENE"], ["VSIR", "MYC"], np.ones((3, 2)))
    np.testing.assert_array_equal(np.isnan(found), [[True, False], [False, False], [False, False]])


def test_halves_agree_as_much_as_the_cells_tell(random: np.random.Generator) -> None:
    """Cells = effect + noise: r of two halves is effect / (effect + noise), by the variances of their means."""
    effect = random.normal(size=400)
    control = 0.01 * random.normal(size=(60, 400)).astype(np.float32)
    cells = [(effect + 2 * random.normal(size=(8, 400))).astype(np.float32) for _ in range(30)]
    assert agreement(cells, control) == pytest.approx(1 / (1 + 4 / 4), abs=0.05)


def test_fingerprints_are_of_the_molecule(tasks: Path) -> None:
    same = fingerprints({"a": "OCC", "b": "CCO", "c": "c1ccccc1"})
    assert same.shape == (3, 1024)
    assert same.dtype == np.float32
    np.testing.assert_array_equal(same[0], same[1])
    assert (same[0] != same[2]).any()
    assert fingerprints({}).shape == (0, 1024)
    folder = tasks / "drug_response"
    for name, key, count in ((BY_NAME, "drug", 170), (BY_CID, "pubchem_cid", 223)):
        smiles = dict(read_table(folder / name, (key, "smiles")).rows())
        assert fingerprints(smiles).any(1).sum() == count
    assert len(read_table(folder / DRUGS, ("drug_id",))) == 266


def test_what_is_no_molecule_is_named() -> None:
    with pytest.raises(InputError, match=r"1 of 2 drugs have no readable structure: b \('C1CC'\)"):
        fingerprints({"a": "CCO", "b": "C1CC"})


def test_without_rdkit_the_pip_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("rdkit"):
            raise ModuleNotFoundError(name=name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match="needs rdkit, which is not installed; run: pip install rdkit"):
        fingerprints({"a": "CCO"})
