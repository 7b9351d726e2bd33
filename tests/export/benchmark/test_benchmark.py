"""A whole run from the command line on a small folder: results, resume, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from tests.helpers import archive
from ugrn.cli.main import app
from ugrn.export.adapter.train import adapter_for
from ugrn.export.backbones.adapted.backbone import AdaptedBackbone
from ugrn.export.backbones.adapted.levels import structure_table
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.benchmark.run_folder import digest
from ugrn.export.bundle.artifact import ExportSettings, write_artifact
from ugrn.export.model.base import Origin
from ugrn.export.networks.network import Network, WeightedNetwork
from ugrn.runtime.errors import InputError


@pytest.fixture(scope="module")
def with_embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive.copy_without(("translator.npz",), tmp_path_factory.mktemp("bench-artifact") / "a")


def bench(folder: Path, artifact: Path, out: Path, *more: str) -> None:
    arguments = ["benchmark", str(folder), "--artifact", str(artifact), "--train", "learn/string", "-o", str(out)]
    result = CliRunner().invoke(app, [*arguments, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_a_run_resumes_and_reports(bench_folder: Path, with_embeddings: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    bench(bench_folder, with_embeddings, out, "--quick", "--threads", "1")
    results = pl.read_parquet(out / "results.parquet")
    methods = set(results["method"])
    assert {"VVP", "GDT", "Ensemble", "Tokens", "Ensemble + tokens", "Pert", "Pert (T)", "Emb (T)"} <= methods
    assert {"gene-only translator", "shuffled targets", "random weights", "training degree", "oracle degree"} <= methods
    assert {"symbol n-grams", "Pearson", "Spearman"} <= methods
    tested = results.filter((pl.col("dataset") == "test") & (pl.col("regime") == "degree-aware"))
    assert tested["panel"].unique().to_list() == [500]
    assert tested.filter(pl.col("metric") == "AUPRC")["value"].is_between(0.3, 0.8).all()
    for name in ("RESULTS.md", "report.html", "plots/auprc_by_method.png", "plots/reliability_diagrams.png"):
        assert (out / name).stat().st_size > 1000
    # what is there is not done again; what is missing is
    kept = {path: path.stat().st_mtime_ns for path in [*out.rglob("*.npz"), *out.rglob("parts/*.json")]}
    lost = out / "parts" / "test-string-500.json"
    os.remove(lost)  # noqa: PTH107 - as a crash would have left it
    bench(bench_folder, with_embeddings, out, "--quick", "--threads", "1")
    changed = [path for path, time in kept.items() if path.stat().st_mtime_ns != time]
    assert changed == [lost]
    assert pl.read_parquet(out / "results.parquet").equals(results)
    with pytest.raises(InputError, match="other settings"):
        bench(bench_folder, with_embeddings, out, "--seeds", "3")


@pytest.mark.slow
def test_an_adapted_backbone_is_benchmarked(bench_folder: Path, backbone: MiniBackbone, tmp_path: Path) -> None:
    adapter = adapter_for(backbone, 1)
    torch.nn.init.constant_(adapter.beta, 1.0)
    network = WeightedNetwork(Network.of(np.arange(30), np.arange(30) + 7, 60))
    adapted = AdaptedBackbone(backbone, adapter, structure_table(backbone, adapter, [network]), "mvc")
    write_artifact(adapted.eval(), tmp_path / "adapted", ExportSettings(context=("GENE3",)), Origin())
    bench(bench_folder, tmp_path / "adapted", tmp_path / "out", "--quick", "--threads", "1")
    results = pl.read_parquet(tmp_path / "out" / "results.parquet")
    assert {"VVP", "GDT", "Ensemble", "random weights"} <= set(results["method"])


def test_an_artifact_that_gives_no_attention_is_refused(
    bench_folder: Path, with_embeddings: Path, untrained: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--readout attn"):
        bench(bench_folder, with_embeddings, tmp_path / "out", "--attention", str(untrained))
    assert not (tmp_path / "out").exists()


def test_changed_inputs_are_another_run(bench_folder: Path) -> None:
    files = [bench_folder / "edges.parquet", bench_folder / "expression"]
    first = digest({"a": 1}, files)
    assert digest({"a": 1}, files) == first
    assert digest({"a": 2}, files) != first
    assert digest({"a": 1}, files[:1]) != first


def test_what_cannot_be_run_is_named(bench_folder: Path, with_embeddings: Path, tmp_path: Path) -> None:
    for train, expected in (
        ("hESC", "DATASET/NETWORK"),
        ("learn/nothing", "learn/string"),
        ("nowhere/string", "learn/string"),
    ):
        with pytest.raises(InputError, match=expected):
            CliRunner().invoke(
                app,
                ["benchmark", str(bench_folder), "--artifact", str(with_embeddings), "--train", train, "-o", "x"],
                catch_exceptions=False,
            )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    with pytest.raises(InputError, match="is not empty"):
        bench(bench_folder, with_embeddings, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
