"""The optional third part of a translator: products of gene embeddings, against plain loops."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ugrn.runtime import ScoreSettings, load, open_artifact
from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.engine.states import CellState
from ugrn.runtime.errors import ArtifactError
from ugrn.runtime.translator.translator import Translator, load_translator, save_translator

PAIRS = [(f"GENE{a}", f"GENE{b}") for a, b in ((1, 2), (2, 1), (5, 40), (40, 41), (3, 59))]


def test_scores_are_the_weighted_mean(joined: Path, artifact: Path, table: np.ndarray) -> None:
    found = load(joined).score(PAIRS)
    without = load(artifact).score(PAIRS)
    assert found.columns == ["source", "target", "probability", "logit_vvp", "logit_gdt", "logit_emb"]
    translator = open_artifact(joined).translator
    assert translator.product is not None
    for row, (source, target) in enumerate(PAIRS):
        x, y = (table[int(gene[4:])].astype(float) for gene in (source, target))
        logit = 0.3 + sum(float(w) * a * b for w, a, b in zip(translator.product.weight, x, y, strict=True))
        assert found["logit_emb"][row] == pytest.approx(logit, rel=1e-4, abs=1e-5)
        mean = 0.1 * without["logit_vvp"][row] + 0.2 * without["logit_gdt"][row] + 0.7 * logit
        calibrated = 0.8 * mean + 0.1
        assert found["probability"][row] == pytest.approx(1 / (1 + math.exp(-calibrated)), rel=1e-4)
    assert found["logit_emb"][0] == pytest.approx(found["logit_emb"][1], rel=1e-6)  # a product knows no direction


def test_file_runs_hold_the_same_numbers(joined: Path, tmp_path: Path) -> None:
    load(joined).score_file(PAIRS, tmp_path / "e.parquet", ScoreSettings(features=True))
    written = pl.read_parquet(tmp_path / "e.parquet")
    expected = load(joined).score(PAIRS, features=True)
    assert written.columns == expected.columns
    for column in expected.columns[2:]:
        np.testing.assert_allclose(written[column], expected[column], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [50, 20_000], ids=["fewer than genes", "more than are gathered at once"])
def test_products_of_pairs(joined: Path, table: np.ndarray, count: int) -> None:
    translator = open_artifact(joined).translator
    assert translator.product is not None
    rng = np.random.default_rng(1)
    sources, targets = rng.integers(0, 60, count), rng.integers(0, 60, count)
    found = translator.product.of_pairs(table, sources, targets)
    picked = rng.integers(0, count, 50)
    expected = (table[sources[picked]].astype(float) * table[targets[picked]]) @ translator.product.weight + 0.3
    np.testing.assert_allclose(found[picked], expected, rtol=1e-4, atol=1e-5)


def test_equal_shares_where_none_are_given(joined: Path) -> None:
    translator = replace(open_artifact(joined).translator, shares=None)
    logits = {
        part: np.full(2, value, np.float32) for part, value in zip(translator.parts, (1.0, 2.0, 6.0), strict=True)
    }
    np.testing.assert_allclose(translator.mean(logits), 3.0, rtol=1e-6)


def test_a_cell_state_is_read_by_the_probes_alone(joined: Path) -> None:
    scorer = load(joined).in_state(CellState("s", ["GENE9"], np.array([1.5], np.float32)))
    found = scorer.score(PAIRS)
    assert found.columns == ["source", "target", "probability", "logit_vvp", "logit_gdt"]
    calibrated = 0.8 * (found["logit_vvp"] + found["logit_gdt"]) / 2 + 0.1
    np.testing.assert_allclose(found["probability"], 1 / (1 + np.exp(-calibrated.to_numpy())), rtol=1e-4)


def test_translator_round_trip(joined: Path, tmp_path: Path) -> None:
    translator = open_artifact(joined).translator
    save_translator(translator, tmp_path / "t.npz")
    again = load_translator(tmp_path / "t.npz")
    assert again.parts == ("vvp", "gdt", "emb")
    assert again.shares == pytest.approx(translator.shares)
    save_translator(Translator(translator.mlps, translator.calibration, 0.5), tmp_path / "t.npz")
    assert load_translator(tmp_path / "t.npz").product is None


@pytest.mark.parametrize("damage", ["shape", "dtype", "pickle", "width", "gone"])
def test_embeddings_that_do_not_fit_are_refused(joined: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "a"
    shutil.copytree(joined, folder)
    path = folder / "embeddings.npy"
    table = np.load(path)
    changed = {"shape": table[:-1], "dtype": table.astype(np.float32), "width": table[:, :-1]}
    if damage in changed:
        np.save(path, changed[damage])
    elif damage == "pickle":
        np.save(path, np.array([{"a": 1}] * 60, dtype=object), allow_pickle=True)
    manifest = json.loads((folder / "artifact.json").read_text())
    if damage == "gone":
        path.unlink()
        del manifest["files"]["embeddings.npy"]
    else:
        manifest["files"]["embeddings.npy"] = file_entry(path)
    (folder / "artifact.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="embeddings|matrix"):
        load(folder).score(PAIRS)
