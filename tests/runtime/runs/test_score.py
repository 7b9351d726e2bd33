"""Pair lists: scores in memory, and the same in files."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from ugrn.runtime import InputError, PairListError, ScoreSettings, load
from ugrn.runtime.errors import ArtifactError
from ugrn.runtime.translator.translator import logit

RNG = np.random.default_rng(11)
ROWS = [(f"GENE{a}", f"GENE{b}") for a, b in RNG.permutation([(a, b) for a in range(20) for b in range(60) if a != b])]
ROWS = ROWS[:400]


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


@pytest.mark.parametrize("torn", ["pairs.h5", "part-00000.h5", "fingerprint"])
def test_files_torn_by_a_power_cut_are_made_again(artifact: Path, tmp_path: Path, torn: str) -> None:
    scorer = load(artifact)
    scorer.score_file(ROWS, tmp_path / "whole.csv")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scorer.score_file(ROWS, tmp_path / "e.csv", progress=stop)
    (tmp_path / "e.csv.run" / torn).write_bytes(b"")
    scorer.score_file(ROWS, tmp_path / "e.csv")
    assert (tmp_path / "e.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
