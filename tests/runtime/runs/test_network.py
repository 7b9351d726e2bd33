"""Networks against plain loops over pairs, in memory and in files."""

from __future__ import annotations

import csv
import gzip
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.bundle.folder import ExportSettings, add_translator, write_artifact
from ugrn.export.model.base import Origin
from ugrn.runtime import GeneListError, InputError, NetworkSettings, Scorer, load, open_artifact
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.engine.states import CellState
from ugrn.runtime.runs.network import NetworkScorer
from ugrn.runtime.translator.translator import Calibration

RNG = np.random.default_rng(3)
SOURCES = [f"GENE{row}" for row in RNG.permutation(60)[:23]]
TARGETS = [f"GENE{row}" for row in RNG.permutation(60)[:41]]
Row = tuple[str, str, float]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ugrn.runtime.engine.probe.MOST_SOURCES", 4)


@pytest.fixture(scope="module")
def tied(joined: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact with embeddings, whose calibration knows few probabilities."""
    folder = tmp_path_factory.mktemp("tied") / "a"
    steps = np.array([-1, -0.999, 0, 0.001, 1, 1.001], np.float32)
    curve = Calibration("isotonic", steps, np.array([0.1, 0.3, 0.3, 0.6, 0.6, 0.9], np.float32))
    plain = open_artifact(joined)
    add_translator(joined, replace(plain.translator, calibration=curve), plain.manifest.metrics, folder)
    return folder


def by_pairs(scorer: Scorer, sources: list[str], targets: list[str], prior: float | None = None) -> list[Row]:
    """One pair list, sorted by plain Python."""
    rows = scorer.score([(s, t) for s in sources for t in targets if s != t], prior=prior)
    found = rows.select("source", "target", "probability").rows()
    return sorted(found, key=lambda row: (sources.index(row[0]), -row[2], targets.index(row[1])))


def assert_same(found: pl.DataFrame, expected: list[Row]) -> None:
    """The same edges with nearly the same probabilities; in order, but for nearly equal ones."""
    assert found.columns == ["source", "target", "probability"]
    assert found["probability"].dtype == pl.Float32
    assert len(found) == len(expected)
    assert found["source"].to_list() == [row[0] for row in expected]
    np.testing.assert_allclose(found["probability"], [row[2] for row in expected], atol=2e-6)
    numbers = {row[:2]: row[2] for row in expected}
    np.testing.assert_allclose(
        found["probability"], [numbers[row] for row in found.select("source", "target").rows()], atol=2e-6
    )


@pytest.mark.parametrize("prior", [None, 0.02])
@pytest.mark.parametrize("kind", ["artifact", "joined"])
def test_every_source_with_every_target(kind: str, prior: float | None, request: pytest.FixtureRequest) -> None:
    scorer = load(request.getfixturevalue(kind))
    found = scorer.network(SOURCES, TARGETS, prior=prior)
    both = len(set(SOURCES) & set(TARGETS))
    assert 0 < both < len(SOURCES)
    assert len(found) == len(SOURCES) * len(TARGETS) - both
    assert_same(found, by_pairs(scorer, SOURCES, TARGETS, prior))


def test_lists_left_out_are_the_whole_vocabulary(artifact: Path) -> None:
    scorer = load(artifact)
    every = scorer.artifact.names.symbols
    assert_same(scorer.network(["GENE5"]), by_pairs(scorer, ["GENE5"], every))
    assert scorer.network(targets=["GENE5", "GENE6"])["source"].unique(maintain_order=True).to_list() == every


@pytest.mark.parametrize("kind", ["joined", "tied"])
@pytest.mark.parametrize("top_k", [1, 3, 22, 23, 500])
@pytest.mark.parametrize("by", ["source", "target"])
@pytest.mark.parametrize("least", [0.0, 0.55])
def test_the_strongest_edges(kind: str, top_k: int, by: str, least: float, request: pytest.FixtureRequest) -> None:
    scorer = load(request.getfixturevalue(kind))
    full = scorer.network(SOURCES, TARGETS).rows()
    assert (len({row[2] for row in full}) < 30) == (kind == "tied")
    kept = []
    for gene in SOURCES if by == "source" else TARGETS:
        mine = [row for row in full if row[by == "target"] == gene and row[2] >= np.float32(least)]
        other = TARGETS if by == "source" else SOURCES
        kept += sorted(mine, key=lambda row: (-row[2], other.index(row[by == "source"])))[:top_k]
    expected = sorted(kept, key=lambda row: (SOURCES.index(row[0]), -row[2], TARGETS.index(row[1])))
    found = scorer.network(SOURCES, TARGETS, top_k=top_k, by=by, min_probability=least)  # type: ignore[arg-type]
    assert found.rows() == expected


def test_the_least_probability_counts_after_the_prior(joined: Path) -> None:
    scorer = load(joined)
    full = scorer.network(SOURCES, TARGETS, prior=0.1)
    found = scorer.network(SOURCES, TARGETS, prior=0.1, min_probability=0.2)
    assert 0 < len(found) < len(full)
    assert found.rows() == [row for row in full.rows() if row[2] >= 0.2]


@pytest.mark.parametrize("memory", [256, 16])
def test_threads_do_not_matter(joined: Path, memory: int) -> None:
    one = load(joined, threads=1, memory_mb=memory).network(SOURCES, TARGETS)
    for threads in (2, 5):
        many = load(joined, threads=threads, memory_mb=memory).network(SOURCES, TARGETS)
        assert_same(many, one.rows())


@pytest.mark.slow
def test_tiles_of_targets_and_of_levels(
    artifact: Path,
    backbone: MiniBackbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    squeeze: Callable[[Path, int, int], None],
) -> None:
    settings = ExportSettings(readout="masked", context=("GENE3", "GENE7"))
    write_artifact(backbone, tmp_path / "bare", settings, Origin())
    plain = open_artifact(artifact)
    add_translator(tmp_path / "bare", plain.translator, plain.manifest.metrics)
    scorer = load(tmp_path / "bare", threads=2)
    expected = by_pairs(scorer, SOURCES, TARGETS)
    shapes: set[tuple[int, ...]] = set()
    run = Prober.cells
    monkeypatch.setattr(Prober, "cells", lambda *a: shapes.add((len(a[1]), len(a[2]))) or run(*a))
    squeeze(tmp_path / "bare", 2, 7)
    assert_same(scorer.network(SOURCES, TARGETS), expected)
    assert {sources for sources, _ in shapes} == {1}
    assert len({targets for _, targets in shapes}) == 2  # whole tiles and a rest


def test_a_cell_state_has_its_own_network(joined: Path) -> None:
    scorer = load(joined).in_state(CellState("s", ["GENE9"], np.array([1.5], np.float32)))
    assert_same(scorer.network(SOURCES, TARGETS), by_pairs(scorer, SOURCES, TARGETS))


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    if path.suffix != ".h5":
        schema = {"source": pl.String, "target": pl.String, "probability": pl.Float32}
        return pl.read_csv(path, separator="\t" if path.suffix == ".tsv" else ",", schema=schema)
    with h5py.File(path) as file:
        genes = file["genes/symbol"].asstr()[:]
        edges = {name: file[f"edges/{name}"][:] for name in ("source", "target", "probability")}
    return pl.DataFrame(edges | {name: genes[edges[name]] for name in ("source", "target")})


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".h5"])
@pytest.mark.parametrize("cut", [{}, {"top_k": 4, "by": "target"}, {"min_probability": 1.0}])
def test_files_hold_the_same_network(joined: Path, tmp_path: Path, suffix: str, cut: dict[str, object]) -> None:
    (tmp_path / "s.txt").write_text("\n \n".join(SOURCES))
    with gzip.open(tmp_path / "t.txt.gz", "wt") as file:
        file.write("\ufeff" + "\r\n".join(TARGETS) + "\r\n")
    scorer = load(joined)
    expected = scorer.network(SOURCES, TARGETS, **cut)  # type: ignore[arg-type]
    calls: list[tuple[int, int]] = []
    output = tmp_path / f"net{suffix}"
    settings = NetworkSettings(**cut)  # type: ignore[arg-type]
    summary = scorer.network_file(
        tmp_path / "s.txt", str(tmp_path / "t.txt.gz"), output, settings, lambda *call: calls.append(call)
    )
    assert read(output).equals(expected)
    total = len(SOURCES) * len(TARGETS)
    assert calls[-1] == (total, total)
    assert summary.scored + summary.self_pairs == total
    assert summary.written == len(expected)
    metadata = json.loads((tmp_path / f"net{suffix}.json").read_text())
    assert (metadata["scored"], metadata["written"], metadata["rejected"]) == (summary.scored, summary.written, {})
    assert metadata["settings"]["top_k"] == settings.top_k
    assert metadata["artifact"]["sha256"] == scorer.artifact.digest
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"s.txt", "t.txt.gz", output.name, f"{output.name}.json"}


@pytest.mark.parametrize("cut", [{}, {"top_k": 3}, {"top_k": 3, "by": "target"}])
@pytest.mark.parametrize("torn", [None, 0, 2])
def test_a_stopped_run_goes_on(
    tied: Path, tmp_path: Path, cut: dict[str, object], torn: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, settings = load(tied, threads=2), NetworkSettings(**cut)  # type: ignore[arg-type]
    scorer.network_file(SOURCES, TARGETS, tmp_path / "whole.csv", settings)
    done: list[int] = []

    def stop(now: int, total: int) -> None:
        done.append(now)
        if len(done) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scorer.network_file(SOURCES, TARGETS, tmp_path / "n.csv", settings, stop)
    assert not (tmp_path / "n.csv").exists()
    shards = sorted(path.name for path in (tmp_path / "n.csv.run").glob("part-*"))
    assert shards == [f"part-{index:05d}.h5" for index in range(4)]
    if torn is not None:
        (tmp_path / "n.csv.run" / shards[torn]).write_bytes(b"")
    computed: list[int] = []
    compute = NetworkScorer.probabilities
    monkeypatch.setattr(NetworkScorer, "probabilities", lambda self, a, b: computed.append(a) or compute(self, a, b))
    summary = scorer.network_file(SOURCES, TARGETS, tmp_path / "n.csv", settings)
    assert summary.resumed_blocks == 4 - (torn is not None)
    assert sorted(computed) == ([] if torn is None else [4 * torn]) + [16, 20]
    assert (tmp_path / "n.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not (tmp_path / "n.csv.run").exists()


def test_other_settings_start_anew(joined: Path, tmp_path: Path) -> None:
    def stop(now: int, total: int) -> None:
        raise KeyboardInterrupt

    scorer = load(joined)
    with pytest.raises(KeyboardInterrupt):
        scorer.network_file(SOURCES, TARGETS, tmp_path / "n.csv", report=stop)
    summary = scorer.network_file(SOURCES, TARGETS, tmp_path / "n.csv", NetworkSettings(prior=0.1))
    assert (summary.resumed_blocks, summary.started_over) == (0, True)
    assert len(read(tmp_path / "n.csv")) == summary.written


def test_an_error_in_a_worker_is_the_runs(joined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Prober, sources: np.ndarray, targets: np.ndarray) -> None:
        raise MemoryError

    monkeypatch.setattr(Prober, "cells", fail)
    with pytest.raises(MemoryError):
        load(joined).network_file(SOURCES, TARGETS, tmp_path / "n.csv")
    assert not (tmp_path / "n.csv").exists()


def test_a_model_that_gives_no_number_is_an_error(joined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Prober.cells
    monkeypatch.setattr(Prober, "cells", lambda *a: [part * np.float32("nan") for part in run(*a)])
    with pytest.raises(InputError, match=f"source {SOURCES[0]}"):
        load(joined, threads=1).network(SOURCES, TARGETS)


def test_rejects_have_reasons(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("gene5\n\nGENE61\nOLDNAME\nGENE7\n")
    scorer = load(artifact)
    summary = scorer.network_file(tmp_path / "s.txt", ["GENE1", "NOPE,1", "", "GENE1"], tmp_path / "n.csv")
    assert summary.rejected == {
        "sources": {"unknown gene": 1, "duplicate": 1},
        "targets": {"empty name": 1, "unknown gene": 1, "duplicate": 1},
    }
    with (tmp_path / "n.csv.rejects.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["list", "line", "name", "reason", "did_you_mean"]
    assert [row[:4] for row in rows] == [
        ["sources", "3", "GENE61", "unknown gene"],
        ["sources", "4", "OLDNAME", "duplicate"],
        ["targets", "2", "NOPE,1", "unknown gene"],
        ["targets", "3", "", "empty name"],
        ["targets", "4", "GENE1", "duplicate"],
    ]
    assert "GENE" in rows[0][4]
    assert read(tmp_path / "n.csv")["source"].to_list() == ["gene5", "GENE7"]  # as the user writes them
    with pytest.warns(UserWarning, match="2 sources were not used: 1 unknown gene, 1 duplicate"):
        scorer.network(tmp_path / "s.txt", ["GENE1"])
    scorer.network_file(["GENE5"], ["GENE1"], tmp_path / "n.csv")
    assert not (tmp_path / "n.csv.rejects.csv").exists()  # of the earlier run


@pytest.mark.parametrize(
    ("sources", "targets", "words"),
    [
        (["NOPE", "GENE61"], None, r"2 of 2 sources cannot be used.*NOPE.*did you mean.*none is left"),
        (["GENE1"], ["GENE1"], "GENE1, is the only target"),
        ([], None, "sources: no genes found"),
        ("nowhere.txt", None, r"nowhere.txt: no such file.*sources"),
        (None, [3], "gene names as text, found 3"),
    ],
)
def test_lists_that_leave_nothing(artifact: Path, tmp_path: Path, sources: object, targets: object, words: str) -> None:
    with pytest.raises(GeneListError, match=words):
        load(artifact).network_file(sources, targets, tmp_path / "n.csv")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_lists(artifact: Path, tmp_path: Path) -> None:
    scorer = load(artifact)
    for name, content in (("a.txt", b"\xff\xfe\x00"), ("b.txt.gz", b"no gzip"), ("c.txt", b"\n \n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(GeneListError, match="one (gene )?per line"):
            scorer.network(tmp_path / name)
    (tmp_path / "n.csv").write_text("GENE1\n")
    with pytest.raises(InputError, match="overwrite"):
        scorer.network_file(None, tmp_path / "n.csv", tmp_path / "n.csv")
    with pytest.raises(GeneListError, match="strict"):
        scorer.network_file(["GENE1", "NOPE"], None, tmp_path / "m.csv", NetworkSettings(strict=True))
    assert not list(tmp_path.glob("m.csv*"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top_k": 0}, "from 1"),
        ({"top_k": 2, "by": "edge"}, "source or target"),
        ({"by": "target"}, "add --top-k"),
        ({"min_probability": 1.5}, "from 0 to 1"),
        ({"min_probability": float("nan")}, "from 0 to 1"),
        ({"prior": 1.0}, "between 0 and 1"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        NetworkSettings(**settings)  # type: ignore[arg-type]


def test_a_network_warns_of_nothing(joined: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(joined).network(SOURCES, TARGETS, top_k=2, by="target")
