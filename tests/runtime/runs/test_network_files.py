"""Networks in files: the same as in memory, resumed where they were stopped, with the rejects of their lists."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from ugrn.runtime import GeneListError, InputError, NetworkSettings, load
from ugrn.runtime.runs.workers import NetworkScorer

RNG = np.random.default_rng(3)
SOURCES = [f"GENE{row}" for row in RNG.permutation(60)[:23]]
TARGETS = [f"GENE{row}" for row in RNG.permutation(60)[:41]]

pytestmark = pytest.mark.usefixtures("small_blocks")


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
        scorer.network_file(SOURCES, TARGETS, tmp_path / "n.csv", progress=stop)
    summary = scorer.network_file(SOURCES, TARGETS, tmp_path / "n.csv", NetworkSettings(prior=0.1))
    assert (summary.resumed_blocks, summary.started_over) == (0, True)
    assert len(read(tmp_path / "n.csv")) == summary.written


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
