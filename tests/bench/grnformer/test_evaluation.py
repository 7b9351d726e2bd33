"""A whole evaluation on small made data: results, resume, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from bench.grnformer import evaluation
from bench.grnformer.__main__ import app, interrupted
from bench.grnformer.data import DrugClass, DrugResponse, Perturbations, TaskData
from bench.grnformer.differences import ARMS
from bench.grnformer.files import FOLDERS
from typer.testing import CliRunner

from ugrn.cli.exits import exit_codes
from ugrn.runtime.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
GENES = [f"GENE{row}" for row in range(40)]


def made(kind: str, quick: bool = True) -> list[TaskData]:
    random = np.random.default_rng(5)
    counts = random.poisson(2.0, (60, len(GENES))).astype(np.float32)
    cells = np.log1p(counts * (1e4 / counts.sum(1, keepdims=True))).astype(np.float32)
    if kind == "drug-class":
        label, patients = random.random(60) < 0.5, [f"patient {row % 3}" for row in range(60)]
        return [
            DrugClass("patients", GENES, cells, counts.sum(1), label, patients, ("few cells",)),
            DrugClass("one batch", GENES, cells, counts.sum(1), label, [""] * 60, ()),
        ]
    if kind == "perturbation":
        change = random.normal(size=(12, len(GENES))).astype(np.float32)
        perturbed = [*GENES[:9], "GENE50", "GENE51", "NOTKNOWN"]
        with_cells = Perturbations("with cells", perturbed, [*GENES[:-1], "NEITHER"], change, cells, ())
        return [with_cells, Perturbations("changes", perturbed, GENES, change, None, ())]
    line, drug = np.nonzero(random.random((20, 9)) < 0.9)
    scores = random.normal(size=(20, len(GENES))).astype(np.float32)
    lines, drugs, tissues = [f"l{row}" for row in range(20)], [f"d{row}" for row in range(9)], ["skin", ""] * 10
    bits = (random.random((9, 1024)) < 0.1).astype(np.float32)
    response = random.normal(size=len(line)).astype(np.float32)
    return [DrugResponse("lines", lines, GENES, scores, tissues, drugs, bits, line, drug, response, ())]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose contents are made in memory; its files only decide the digest."""
    data = tmp_path / "data"
    for name in FOLDERS.values():
        (data / name).mkdir(parents=True)
        (data / name / "made.txt").write_text("1")

    def read(where: Path, kind: str, quick: bool = False) -> Sequence[TaskData]:
        assert where == data
        return made(kind, quick)

    monkeypatch.setattr(evaluation, "read_tasks", read)
    return data


def evaluate(folder: Path, artifact: Path, out: Path, *more: str) -> None:
    arguments = [str(folder), "--artifact", str(artifact), "-o", str(out), "--genes", "12"]
    arguments += ["--targets", "3", "--quick", "--threads", "1", *more]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_a_run_resumes_and_reports(folder: Path, joined: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    evaluate(folder, joined, out)
    results, fits = (pl.read_parquet(out / name) for name in ("results.parquet", "fits.parquet"))
    assert set(results["task"]) == {"perturbation", "drug-response", "drug-class"}
    arms = {data: set(rows["arm"]) for (data,), rows in results.filter(kind="adapter").group_by("data")}
    assert arms["patients"] == arms["lines"] == set(ARMS)
    by_group = {"cell-type", "both", "random cell-type", "random both"}
    assert arms["one batch"] == arms["with cells"] == set(ARMS) - by_group
    assert arms["changes"] == {"none", "no edges", "random", "text", "ugrn"}
    assert set(results.filter(data="changes")["unit"]) <= {*GENES[:9], "GENE50", "GENE51"}
    assert not results.filter(pl.col("kind") == "baseline").is_empty()
    for _, rows in results.filter(kind="adapter").group_by("data", "split", "arm"):
        other = results.filter(data=rows["data"][0], split=rows["split"][0], arm="none")
        key = ["seed", "unit", "metric"]
        assert rows.select(key).sort(key).equals(other.select(key).sort(key))  # arms are compared in pairs
    assert fits.filter(arm="ugrn")["shared"].unique().to_list() == [1.0]
    assert fits.filter(arm="no edges")["edges"].unique().to_list() == [0.0]
    assert fits.filter(arm="none")["beta"].unique().to_list() == [0.0]
    text = (out / "RESULTS.md").read_text()
    for said in (
        "few cells",
        "without the arms `cell-type`, `random cell-type`, `both`, `random both`: all cells are of one group",
        "left out",
    ):
        assert said in text
    metadata = json.loads((out / "settings.json").read_text())
    assert metadata["plan"]["seeds"] == 2
    assert metadata["plan"]["fits"]["drug-class"]["share"] == 0.2
    assert (out / "differences.png").stat().st_size > 1000
    # what is there is not done again; what is missing is, with the same results
    kept = {path: path.stat().st_mtime_ns for path in out.glob("parts/*/*.parquet")}
    lost = [path for path in kept if path.stem in ("patients-patient-1-1-both", "perturbations-0-random")]
    assert len(lost) == 3
    for path in lost:
        path.unlink()
    evaluate(folder, joined, out)
    assert sorted(path for path, time in kept.items() if path.stat().st_mtime_ns != time) == sorted(lost)
    assert pl.read_parquet(out / "results.parquet").equals(results)
    with pytest.raises(InputError, match="other settings"):
        evaluate(folder, joined, out, "--seeds", "1")
    (folder / FOLDERS["drug-class"] / "made.txt").write_text("2")
    with pytest.raises(InputError, match="other settings"):
        evaluate(folder, joined, out)


@pytest.mark.slow
def test_processes_do_not_change_the_results(folder: Path, joined: Path, tmp_path: Path) -> None:
    for name, threads in (("one", "1"), ("two", "2")):
        evaluate(folder, joined, tmp_path / name, "--task", "drug-response", "--seeds", "1", "--threads", threads)
    one, two = (pl.read_parquet(tmp_path / name / "results.parquet") for name in ("one", "two"))
    assert one.equals(two)


def test_the_program_ends_with_one_message_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.grnformer", str(tmp_path), "-o", "x", "--family", "scgpt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "ugrn: --family and --set are for checkpoints; give one with --checkpoint, or leave them out\n"
    )


def test_an_interrupt_names_the_command_that_resumes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "data", "-o", "my results"])
    with pytest.raises(SystemExit), exit_codes(interrupted):
        raise SystemExit(130)
    said = "interrupted; to go on with what was finished, run it again: python -m bench.grnformer data -o 'my results'"
    assert capsys.readouterr().err == f"ugrn: {said}\n"


def test_what_cannot_be_run_is_named(folder: Path, joined: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--task nothing: no such task; expected one of perturbation"):
        evaluate(folder, joined, tmp_path / "out", "--task", "nothing")
    with pytest.raises(InputError, match="--family and --set are for checkpoints"):
        evaluate(folder, joined, tmp_path / "out", "--family", "scgpt")
    (tmp_path / "a file").write_text("x")
    with pytest.raises(InputError, match="a file: is a file; expected a folder"):
        evaluate(folder, joined, tmp_path / "a file")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    with pytest.raises(InputError, match="is not empty and holds no evaluation run"):
        evaluate(folder, joined, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert not (tmp_path / "out").exists()


def test_data_of_genes_nobody_knows_are_refused(
    folder: Path, joined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = [DrugClass("strange", ["X1", "X2"], np.ones((9, 2), np.float32), np.ones(9, np.float32),
                         np.arange(9) < 4, ["a"] * 9, ())]  # fmt: skip
    monkeypatch.setattr(evaluation, "read_tasks", lambda *_: strange)
    with pytest.raises(InputError, match="strange: the backbone and the artifact know 0 of its 2 genes"):
        evaluate(folder, joined, tmp_path / "out", "--task", "drug-class")


def test_one_task_alone(folder: Path, joined: Path, tmp_path: Path) -> None:
    evaluate(folder, joined, tmp_path / "out", "--task", "perturbation", "--seeds", "1")
    results = pl.read_parquet(tmp_path / "out" / "results.parquet")
    assert set(results["task"]) == {"perturbation"}
    assert set(results["seed"]) == {0}
