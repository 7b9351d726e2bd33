"""Features and scores against slow references, and file runs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
import torch

from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.graph.parity import autograd_reference
from ugrn.export.graph.probe import Probe
from ugrn.runtime import InputError, PairListError, ScoreSettings, load
from ugrn.runtime.artifact.folder import Artifact, open_artifact
from ugrn.runtime.engine.probe import Prober, level_grid
from ugrn.runtime.engine.session import RuntimeSettings
from ugrn.runtime.errors import ArtifactError
from ugrn.runtime.translator.translator import Calibration, Translator, load_translator, logit, save_translator, sigmoid

Squeeze = Callable[[Path, int, int], None]
RNG = np.random.default_rng(11)
ROWS = [(f"GENE{a}", f"GENE{b}") for a, b in RNG.permutation([(a, b) for a in range(20) for b in range(60) if a != b])]
ROWS = ROWS[:400]


def slow_features(artifact: Artifact, backbone: MiniBackbone, pairs: list[tuple[str, str]]) -> dict[str, np.ndarray]:
    """One pair, one level at a time, float64, reverse mode."""
    manifest, context = artifact.manifest, artifact.context
    module = Probe(backbone, "mvc", manifest.baseline).module(tangent=False, double=True)
    out: dict[str, list[list[float]]] = {"vvp": [], "gdt": []}
    for source, target in pairs:
        s, t = np.array([int(source[4:])]), np.array([int(target[4:])])

        def cell(level: float, s: np.ndarray = s, t: np.ndarray = t) -> tuple[float, float]:
            inputs = (context, np.full(len(context), manifest.baseline, np.float32), s, np.array([[level]], "f4"), t)
            value, gradient = autograd_reference(module, inputs)
            return float(value.item()), float(gradient.item())

        base = cell(manifest.baseline)[0]
        out["vvp"].append([cell(level)[0] - base for level in manifest.vvp_levels])
        out["gdt"].append([cell(level)[1] for level in manifest.gdt_levels])
    return {probe: np.array(rows) for probe, rows in out.items()}


def test_features_equal_one_pair_at_a_time(artifact: Path, backbone: MiniBackbone) -> None:
    pairs = [*ROWS[:12], ("GENE3", "GENE7"), ("GENE50", "GENE1")]  # context genes as source and target
    frame = load(artifact).features(pairs)
    expected = slow_features(open_artifact(artifact), backbone, pairs)
    assert frame["source"].to_list() == [s for s, _ in pairs]
    for probe, values in expected.items():
        found = frame.select(f"{probe}_{k + 1}" for k in range(8)).to_numpy()
        np.testing.assert_allclose(found, values, atol=2e-6 + 1e-5 * np.abs(values).max())


LEVELS = (-3.0, -2.0, -1.0, 0.5, 1.5, 2.0, 4.0, 5.0)


@pytest.mark.parametrize(
    ("gdt_levels", "steep", "flat"),
    [
        ((-3.0, -2.0, -1.0, 0.0, 1.5, 2.0, 4.0, 6.0), 10, 0),  # two levels of ten are too few for another graph
        ((-3.0, -2.0, -1.0, 0.25, 1.0, 3.0, 4.0, 6.0), 8, 5),
        ((-2.5, -1.5, -0.5, 0.25, 1.0, 2.5, 3.5, 4.5), 8, 9),
    ],
)
def test_levels_that_need_no_gradient_take_the_graph_without_it_where_they_are_many(
    artifact: Path, backbone: MiniBackbone, squeeze: Squeeze, gdt_levels: tuple[float, ...], steep: int, flat: int
) -> None:
    opened = open_artifact(artifact)
    opened = replace(opened, manifest=replace(opened.manifest, vvp_levels=LEVELS, gdt_levels=gdt_levels))
    ran = {graph: part.stop - part.start for graph, part in level_grid(opened, ("vvp", "gdt")).graphs.items()}
    assert ran == {"gdt.onnx": steep} | ({"vvp.onnx": flat} if flat else {})
    assert list(level_grid(opened, ("gdt",)).graphs) == ["gdt.onnx"]
    assert list(level_grid(opened, ("vvp",)).graphs) == ["vvp.onnx"]
    pairs = [*ROWS[:5], ("GENE3", "GENE7")]
    expected = slow_features(opened, backbone, pairs)
    sources, targets = np.array([[int(name[4:]) for name in pair] for pair in pairs], np.int32).T
    for levels in (100, 3):
        squeeze(artifact, levels, 30)
        found = Prober(opened, RuntimeSettings("cpu")).features(sources, targets)
        for probe, values in expected.items():
            np.testing.assert_allclose(found[probe], values, atol=2e-6 + 1e-5 * np.abs(values).max())


def test_vvp_alone_needs_no_gradient_graph(artifact: Path) -> None:
    scorer = load(artifact)
    both, alone = scorer.features(ROWS[:50]), scorer.features(ROWS[:50], probes=("vvp",))
    assert alone.columns == ["source", "target", *(f"vvp_{k}" for k in range(1, 9))]
    np.testing.assert_allclose(alone["vvp_8"], both["vvp_8"], atol=1e-5)
    with pytest.raises(InputError, match="attn"):
        scorer.features(ROWS[:2], probes=("attn",))


def test_scores_do_not_depend_on_the_other_pairs_or_their_order(artifact: Path) -> None:
    scorer = load(artifact)
    whole = scorer.score(ROWS)
    turned = scorer.score(ROWS[::-1])
    np.testing.assert_allclose(turned["logit_gdt"].reverse(), whole["logit_gdt"], rtol=1e-4, atol=1e-4)
    alone = pl.concat([scorer.score([row]) for row in ROWS[:10]])
    np.testing.assert_allclose(alone["probability"], whole["probability"][:10], atol=1e-4)
    assert whole.select("source", "target").rows() == ROWS


def test_a_small_memory_budget_gives_the_same_scores(artifact: Path, squeeze: Squeeze) -> None:
    expected = load(artifact).score(ROWS)
    squeeze(artifact, 1, 20)
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu"))
    assert prober.sources_at_once(30) == 1
    assert prober.targets_at_once(1) == 20
    found = load(artifact).score(ROWS)
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-4)


def test_probability_is_the_calibrated_mean_of_logits(artifact: Path) -> None:
    scorer = load(artifact)
    frame = scorer.score(ROWS[:40], features=True)
    translator = scorer.artifact.translator
    mean = (frame["logit_vvp"] + frame["logit_gdt"]) / 2
    expected = 1 / (1 + np.exp(-(0.8 * mean.to_numpy() + 0.1)))
    np.testing.assert_allclose(frame["probability"], expected, atol=1e-6)
    features = frame.select(f"vvp_{k}" for k in range(1, 9)).to_numpy()
    np.testing.assert_allclose(translator.mlps["vvp"].logits(features), frame["logit_vvp"], atol=1e-5)


def test_prior_shifts_the_log_odds(artifact: Path) -> None:
    scorer = load(artifact)
    plain, shifted = scorer.score(ROWS[:30]), scorer.score(ROWS[:30], prior=0.01)
    moved = logit(shifted["probability"].to_numpy()) - logit(plain["probability"].to_numpy())
    np.testing.assert_allclose(moved, np.log(0.01 / 0.99), atol=1e-3)
    for prior in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            scorer.score(ROWS[:2], prior=prior)


def test_an_untrained_artifact_gives_features_but_no_scores(untrained: Path) -> None:
    assert len(load(untrained).features(ROWS[:3])) == 3
    with pytest.raises(ArtifactError, match="ugrn train"):
        load(untrained).score(ROWS[:3])


def test_pairs_left_out_are_warned_of(artifact: Path) -> None:
    with pytest.warns(UserWarning, match="1 of 3 pairs were not scored: 1 self-pair"):
        frame = load(artifact).score([("GENE1", "GENE2"), ("GENE1", "GENE1"), ("OldName", "gene2")])
    assert frame["source"].to_list() == ["GENE1", "OldName"]
    with pytest.raises(PairListError, match=r"NOPE.*none is left"):
        load(artifact).score([("NOPE", "GENE1")])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".h5"])
def test_file_runs_equal_memory_runs(artifact: Path, tmp_path: Path, suffix: str) -> None:
    scorer = load(artifact)
    listed = [*ROWS, ("GENE1", "GENE1"), ROWS[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scorer.score(listed, features=True)
    output = tmp_path / f"edges{suffix}"
    calls: list[tuple[int, int]] = []
    summary = scorer.score_file(listed, output, ScoreSettings(features=True), lambda *call: calls.append(call))
    if suffix == ".h5":
        with h5py.File(output) as file:
            genes = file["genes/symbol"].asstr()[:]
            edges = {name: values[:] for name, values in file["edges"].items()}
        edges |= {name: genes[edges[name]] for name in ("source", "target")}
        found = pl.DataFrame(edges).select(expected.columns)
    elif suffix == ".parquet":
        found = pl.read_parquet(output)
    else:
        found = pl.read_csv(output, separator="\t" if suffix == ".tsv" else ",")
    assert found.select("source", "target").rows() == ROWS
    np.testing.assert_allclose(found.drop("source", "target"), expected.drop("source", "target"), rtol=1e-5, atol=1e-6)
    assert (summary.read, summary.scored, summary.rejected) == (402, 400, {"self-pair": 1, "duplicate": 1})
    assert calls[-1] == (400, 400)
    metadata = json.loads((tmp_path / f"edges{suffix}.json").read_text())
    assert metadata["pairs"] == {"read": 402, "scored": 400, "rejected": summary.rejected}
    assert metadata["artifact"]["sha256"] == scorer.artifact.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [f"edges{suffix}", f"edges{suffix}.json", f"edges{suffix}.rejects.csv"]
    )
    scorer.score_file(ROWS[:5], output)
    assert not (tmp_path / f"edges{suffix}.rejects.csv").exists()  # of the earlier run


def test_strict_refuses_and_leaves_nothing(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(PairListError, match="strict"):
        load(artifact).score_file([*ROWS[:3], ("GENE1", "GENE1")], tmp_path / "e.csv", ScoreSettings(strict=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"), [("e.xlsx", "format"), ("no/e.csv", "mkdir"), ("folder.csv", "is a folder")]
)
def test_outputs_are_checked_first(artifact: Path, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=words):
        load(artifact).score_file(ROWS[:3], tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_a_run_never_overwrites_the_list_it_reads(artifact: Path, tmp_path: Path) -> None:
    text = "source,target\nGENE1,GENE2\n"
    for name, output in (("e.csv", "e.csv"), ("e.csv.rejects.csv", "e.csv"), ("e.csv.json.csv", "e.csv.json.csv")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="overwrite"):
            load(artifact).score_file(tmp_path / name, tmp_path / output)
        assert (tmp_path / name).read_text() == text


def test_translators_round_trip_with_every_calibration(tmp_path: Path, artifact: Path) -> None:
    translator = load(artifact).artifact.translator
    x = np.linspace(-4, 4, 50, dtype=np.float32)
    for kind in ("none", "temperature", "platt", "isotonic"):
        curve = Calibration(kind, np.array([-2, 0, 2], "f4"), np.array([0.1, 0.5, 0.8], "f4"))  # type: ignore[arg-type]
        save_translator(Translator(translator.mlps, curve, 0.3), tmp_path / "t.npz")
        found = load_translator(tmp_path / "t.npz")
        np.testing.assert_array_equal(found.calibration(x), curve(x))
        assert found.prevalence == 0.3
    assert sigmoid(np.array([-1e9, 0, 1e9], "f4")).tolist() == pytest.approx([0, 0.5, 1])


def test_runtime_equals_the_eager_module(artifact: Path, backbone: MiniBackbone) -> None:
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu", threads=1))
    sources, targets = np.array([1, 1, 4], np.int32), np.array([2, 5, 2], np.int32)
    found = prober.features(sources, targets)["gdt"]
    module = Probe(backbone, "mvc", 0.0).module(tangent=True)
    context = torch.from_numpy(prober.artifact.context)
    with torch.no_grad():
        _, gradient = module(
            context, torch.zeros(len(context)), torch.tensor([1, 4]),
            torch.tensor(prober.artifact.manifest.gdt_levels).expand(2, 8), torch.tensor([2, 5]),
        )  # fmt: skip
    expected = torch.stack([gradient[0, :, 0], gradient[0, :, 1], gradient[1, :, 0]])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_foreign_folder_of_the_runs_name_is_left_alone(artifact: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "e.csv.run"
    foreign.mkdir()
    (foreign / "data").write_text("precious")
    with pytest.raises(InputError, match="in the way"):
        load(artifact).score_file(ROWS[:3], tmp_path / "e.csv")
    assert (foreign / "data").read_text() == "precious"


@pytest.mark.parametrize("torn", ["pairs.h5", "part-00000.h5", "fingerprint"])
def test_files_torn_by_a_power_cut_are_made_again(artifact: Path, tmp_path: Path, torn: str) -> None:
    scorer = load(artifact)
    scorer.score_file(ROWS, tmp_path / "whole.csv")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scorer.score_file(ROWS, tmp_path / "e.csv", report=stop)
    (tmp_path / "e.csv.run" / torn).write_bytes(b"")
    scorer.score_file(ROWS, tmp_path / "e.csv")
    assert (tmp_path / "e.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_levels_are_split_where_one_source_is_too_large(artifact: Path, squeeze: Squeeze) -> None:
    pairs = [(f"GENE{a}", f"GENE{b}") for a in range(4) for b in range(10, 20)]
    whole = load(artifact).features(pairs)
    squeeze(artifact, 3, 10)
    split = load(artifact).features(pairs)
    columns = [name for name in whole.columns if name.startswith(("vvp", "gdt"))]
    np.testing.assert_allclose(split.select(columns).to_numpy(), whole.select(columns).to_numpy(), atol=1e-6)


def test_a_context_that_fills_the_budget_does_not_cut_targets_into_crumbs(artifact: Path, squeeze: Squeeze) -> None:
    squeeze(artifact, 1, 0)
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu"))
    assert prober.block_size(5, 20_000) == (1, 1024)
