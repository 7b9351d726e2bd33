"""Results in every format, read back by our reader and by the libraries they are meant for."""

from __future__ import annotations

import csv
import gzip
import io
import os
import warnings
from pathlib import Path
from typing import Any

import h5py
import networkx
import numpy as np
import pandas as pd
import polars as pl
import pytest

from ugrn.runtime import InputError, PairListError, ScoreSettings, load, to_pandas
from ugrn.runtime.files.outputs import SUFFIXES, output_format
from ugrn.runtime.files.pairs import PairList, read_pairs
from ugrn.runtime.files.results import scan_results, write_results
from ugrn.runtime.files.tables import CHUNK_ROWS, frame
from ugrn.runtime.runs.result_table import ResultTable

GENES = ["HLA-A", "A&B", "<x>", 'say "q"', "naïve", "T'", "unused"]
Edge = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module", params=[1, 40, 0])
def table(request: pytest.FixtureRequest) -> ResultTable:
    """Edges with awkward names and columns of every kind; of no edges too."""
    rng = np.random.default_rng(7)
    ends = np.array([(a, b) for a in range(6) for b in range(6) if a != b], np.int32)
    ends = rng.permutation(ends)
    count = len(ends)
    gap = rng.random(count) < 0.3
    before = pl.DataFrame(
        {
            "importance": rng.gamma(2, 9, count),
            "n & m": pl.Series(
                [None if g else int(n) for g, n in zip(gap, rng.integers(0, 2**50, count), strict=True)]
            ),
            "known": rng.random(count) < 0.5,
            "note": [None if g else f'<&">\n{n}\x07' for g, n in zip(gap, range(count), strict=True)],
        }
    )
    rows = rng.permutation(count)[: request.param if request.param < count else count].astype(np.int32)
    results = rng.random((count, 2), dtype=np.float32)
    return ResultTable(PairList(GENES, ends[:, 0], ends[:, 1]), rows, results, ["probability", "logit_vvp"], before)


def written(table: ResultTable, path: Path, name: str = "ugrn") -> Path:
    write_results(table, path, output_format(path, name))
    return path


def by_loop(table: ResultTable) -> list[Edge]:
    """The edges, one at a time."""
    pairs = table.pairs
    found = []
    for row in table.rows.tolist():
        values = table.before.row(row, named=True) | dict(
            zip(table.columns, table.results[row].astype(float).tolist(), strict=True)
        )
        found.append((pairs.genes[pairs.source[row]], pairs.genes[pairs.target[row]], values))
    return found


@pytest.mark.parametrize("suffix", ["graphml", "graphml.gz"])
def test_networkx_reads_graphml(table: ResultTable, tmp_path: Path, suffix: str) -> None:
    graph = networkx.read_graphml(written(table, tmp_path / f"n.{suffix}"))
    assert graph.is_directed()
    expected = by_loop(table)
    assert sorted(graph.nodes) == sorted({name for edge in expected for name in edge[:2]})
    assert graph.number_of_edges() == len(expected)
    for source, target, values in expected:
        found = graph.edges[source, target]
        for name, value in values.items():
            if value is None:
                assert name not in found
            elif isinstance(value, str):
                assert found[name] == value.replace("\x07", "\ufffd")
            else:
                assert found[name] == pytest.approx(value, rel=1e-6)
                assert type(found[name]) is type(value)
        assert set(found) <= set(values)


@pytest.mark.parametrize("suffix", ["sif", "sif.gz"])
def test_sif_has_a_line_for_every_edge(table: ResultTable, tmp_path: Path, suffix: str) -> None:
    raw = written(table, tmp_path / f"n.{suffix}").read_bytes()
    text = (gzip.decompress(raw) if suffix.endswith("gz") else raw).decode()
    assert text == "".join(f"{source}\tregulates\t{target}\n" for source, target, _ in by_loop(table))


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "tsv.gz"])
def test_text_tables_hold_all_columns(table: ResultTable, tmp_path: Path, suffix: str) -> None:
    raw = written(table, tmp_path / f"n.{suffix}").read_bytes()
    text = (gzip.decompress(raw) if suffix.endswith("gz") else raw).decode()
    header, *rows = csv.reader(io.StringIO(text), delimiter="\t" if "tsv" in suffix else ",")
    assert header == ["source", "target", *table.before.columns, *table.columns]
    for row, (source, target, values) in zip(rows, by_loop(table), strict=True):
        assert row[:2] == [source, target]
        for found, value in zip(row[2:], values.values(), strict=True):
            if isinstance(value, bool):
                assert found == str(value).lower()
            elif isinstance(value, str) or value is None:
                assert found == (value or "")
            else:
                assert float(found) == pytest.approx(value, rel=1e-6)


READ_BACK = ["csv", "csv.gz", "tsv", "tsv.gz", "parquet", "h5"]


def as_stored(table: ResultTable, suffix: str) -> pl.DataFrame:
    """The values that a container keeps of a table; HDF5 has whole numbers as floats, and truth as text."""
    whole = frame(table)
    return (
        whole.with_columns(pl.col("known").cast(pl.String), pl.col("n & m").cast(pl.Float64))
        if suffix == "h5"
        else whole
    )


@pytest.mark.parametrize("suffix", READ_BACK)
def test_every_container_is_read_back_with_all_columns(table: ResultTable, tmp_path: Path, suffix: str) -> None:
    expected = as_stored(table, suffix)
    found = scan_results(written(table, tmp_path / f"n.{suffix}")).collect()
    assert set(found.columns) == set(expected.columns)
    if len(table) and found["note"].null_count() < len(
        found
    ):  # else there is nothing to tell a text table's types from
        kinds = {name: kind for name, kind in found.schema.items() if expected.schema[name] != kind}
        assert kinds == ({} if suffix in ("parquet", "h5") else dict.fromkeys(table.columns, pl.Float64))
    assert found.select(expected.columns).cast(dict(expected.schema)).equals(expected)


@pytest.mark.parametrize("suffix", READ_BACK)
def test_every_container_is_a_pair_list_with_all_columns(table: ResultTable, tmp_path: Path, suffix: str) -> None:
    path, expected = written(table, tmp_path / f"n.{suffix}"), as_stored(table, suffix)
    if len(table) == 0:
        with pytest.raises(PairListError, match="no pairs found"):
            read_pairs(path)
        return
    pairs = read_pairs(path)
    genes = np.array(pairs.genes)
    assert genes[pairs.source].tolist() == expected["source"].to_list()
    assert genes[pairs.target].tolist() == expected["target"].to_list()
    if suffix[:3] in ("csv", "tsv"):
        expected = expected.with_columns(pl.col("known").cast(pl.String))
    kept = expected.columns[2:]
    assert set(pairs.extra.columns) == set(kept)
    assert pairs.extra.select(kept).cast({name: expected.schema[name] for name in kept}).equals(expected.select(kept))


def test_damaged_hdf5_results_are_one_clear_error(table: ResultTable, tmp_path: Path) -> None:
    def damage(name: str, values: object) -> Path:
        path = written(table, tmp_path / "n.h5")
        with h5py.File(path, "r+") as file:
            del file[name]
            if values is not None:
                file[name] = values
        return path

    whole = np.zeros(len(table), np.int32)
    for name, values, words in (
        ("edges/source", None, "not readable as a result"),
        ("edges/source", [*whole, 1], "not equally many"),
        ("edges/source", [*whole[1:], 7], "past its 7 genes"),
        ("edges/target", [*whole[1:], -1], "past its 7 genes"),
        ("edges/target", [*whole[1:], 0.5], "past its 7 genes"),
        ("edges/probability", [*whole, 0.5], "not readable as a result|not equally many"),
        ("edges", whole, "not readable as a result"),
        ("genes/symbol", None, "not readable as a result"),
    ):
        path = damage(name, values)
        for read in (read_pairs, scan_results):
            with pytest.raises(PairListError, match=f"n.h5: .*({words})"):
                read(path)


@pytest.mark.parametrize("suffix", READ_BACK)
def test_a_result_is_scored_again(artifact: Path, tmp_path: Path, suffix: str) -> None:
    pairs = pl.DataFrame(
        {
            "TF": ["GENE7", "GENE3", "GENE3"],
            "target": ["GENE2", "GENE9", "GENE8"],
            "importance": [0.5, None, 2.25],
            "note": ["x", "two\nlines", None],
        }
    )
    scorer, first = load(artifact), tmp_path / f"first.{suffix}"
    scorer.score_file(pairs, first, ScoreSettings(features=True))
    again = scorer.score_file(first, tmp_path / "again.parquet")
    assert again.scored == 3
    expected, found = scorer.score(pairs), pl.read_parquet(tmp_path / "again.parquet")
    assert found.select("source", "target", "importance", "note").equals(
        expected.select("source", "target", "importance", "note")
    )
    assert again.renamed == {name: f"{name}_ugrn" for name in ("probability", "logit_vvp", "logit_gdt")}
    for name, renamed in again.renamed.items():
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
        np.testing.assert_array_equal(found[renamed], found[name].cast(pl.Float32))
    assert {f"vvp_{level}" for level in range(1, 9)} <= set(found.columns)


def test_packed_files_are_the_same_bytes_every_time(
    table: ResultTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = written(table, tmp_path / "a.csv.gz").read_bytes()
    monkeypatch.setattr("time.time", lambda: 1e9)
    assert written(table, tmp_path / "b.csv.gz").read_bytes() == first
    assert gzip.decompress(first) == written(table, tmp_path / "a.csv").read_bytes()


def test_parquet_keeps_the_types(table: ResultTable, tmp_path: Path) -> None:
    found = pl.read_parquet(written(table, tmp_path / "n.parquet"))
    assert found.equals(frame(table))
    assert found.schema["n & m"] == pl.Int64


def test_hdf5_holds_numbers_and_text(table: ResultTable, tmp_path: Path) -> None:
    with h5py.File(written(table, tmp_path / "n.h5")) as file:
        genes = file["genes/symbol"].asstr()[:]
        edges = {
            name: values.asstr()[:] if values.dtype == object else values[:] for name, values in file["edges"].items()
        }
    assert edges["probability"].dtype == np.float32
    for row, (source, target, values) in enumerate(by_loop(table)):
        assert (genes[edges["source"][row]], genes[edges["target"][row]]) == (source, target)
        assert edges["note"][row] == (values["note"] or "")
        assert edges["known"][row] == str(values["known"]).lower()
        np.testing.assert_array_equal(edges["n & m"][row], np.nan if values["n & m"] is None else values["n & m"])
        assert edges["importance"][row] == values["importance"]


@pytest.mark.parametrize(
    ("name", "columns"), [("decoupler", "source target weight"), ("pyscenic", "TF target importance")]
)
@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "parquet"])
def test_layouts_have_three_columns(table: ResultTable, tmp_path: Path, suffix: str, name: str, columns: str) -> None:
    path = written(table, tmp_path / f"n.{suffix}", name)
    found = pl.read_parquet(path).to_dict(as_series=False) if suffix == "parquet" else (
        pd.read_csv(path, sep="\t" if suffix == "tsv" else ",", keep_default_na=False).to_dict("list")
    )  # fmt: skip
    expected = by_loop(table)
    assert list(found) == columns.split()
    ends = list(zip(*list(found.values())[:2], strict=True))
    assert ends == [edge[:2] for edge in expected]
    np.testing.assert_allclose(list(found.values())[2], [edge[2]["probability"] for edge in expected], rtol=1e-6)


def test_decoupler_runs_a_method_on_the_network(artifact: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import decoupler

        output = tmp_path / "net.csv"
        settings = ScoreSettings(format="decoupler")
        load(artifact).score_file([(f"GENE{s}", f"GENE{t}") for s in (1, 2) for t in range(10, 40)], output, settings)
        net = pd.read_csv(output)
        rng = np.random.default_rng(0)
        cells = pd.DataFrame(
            rng.normal(size=(5, 60)), [f"c{row}" for row in range(5)], [f"GENE{row}" for row in range(60)]
        )
        scores = decoupler.mt.ulm(cells, net, tmin=5)[0]
    assert list(scores.columns) == ["GENE1", "GENE2"]
    for source in scores.columns:
        weight = np.zeros(60)
        mine = net[net["source"] == source]
        weight[[int(target[4:]) for target in mine["target"]]] = mine["weight"]
        for cell in cells.index:  # the t-value of the slope
            r = np.corrcoef(weight, cells.loc[cell])[0, 1]
            assert scores.loc[cell, source] == pytest.approx(r * np.sqrt(58 / (1 - r * r)), rel=1e-3)


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t")])
def test_adjacencies_are_as_pyscenic_documents_them(
    table: ResultTable, tmp_path: Path, suffix: str, separator: str
) -> None:
    """By a reader of the documented format, since pySCENIC itself does not go with this NumPy.

    A header TF, target, importance; the separator is that of the suffix; names are text, also those like "NA".
    """
    with written(table, tmp_path / f"adj.{suffix}", "pyscenic").open(newline="") as file:
        header, *rows = csv.reader(file, delimiter=separator)
    assert header == ["TF", "target", "importance"]
    assert [(tf, target) for tf, target, _ in rows] == [edge[:2] for edge in by_loop(table)]
    expected = [edge[2]["probability"] for edge in by_loop(table)]
    np.testing.assert_allclose([float(importance) for *_, importance in rows], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("path", "name", "words"),
    [
        ("e.doc", "ugrn", r"\.graphml\.gz"),
        ("e", "decoupler", "not a known format"),
        ("e.parquet.gz", "ugrn", "not a known format"),
        ("e.csv", "cytoscape", "expected one of ugrn, decoupler"),
        ("e.csv", "graphml", r"expected \.graphml"),
        ("e.graphml", "pyscenic", r"expected \.csv, \.tsv or \.parquet"),
        ("e.txt.gz", "parquet", "does not go"),
    ],
)
def test_contradictory_formats_are_refused(path: str, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        output_format(Path(path), name)


def test_formats_by_suffix_and_by_name() -> None:
    for suffix in SUFFIXES:
        found = output_format(Path(f"my.edges{suffix}"))
        assert f".{found.container}{'.gz' if found.packed else ''}" == suffix
        assert found.names is None
    assert output_format(Path("e.txt"), "tsv") == output_format(Path("e.tsv"))
    assert output_format(Path("e.txt.gz"), "sif") == output_format(Path("e.sif.gz"))


def test_columns_that_a_format_cannot_hold_are_refused(artifact: Path, tmp_path: Path) -> None:
    pairs = pl.DataFrame({"source": ["GENE1"], "target": ["GENE2"], "evidence": [["a", "b"]], "a/b": [1]})
    scorer = load(artifact)
    for suffix in ("csv", "graphml", "h5"):
        with pytest.raises(InputError, match=r"evidence.*write \.parquet"):
            scorer.score_file(pairs, tmp_path / f"e.{suffix}")
    with pytest.raises(InputError, match="'a/b'"):
        scorer.score_file(pairs.drop("evidence"), tmp_path / "e.h5")
    assert list(tmp_path.iterdir()) == []
    scorer.score_file(pairs, tmp_path / "e.sif")
    scorer.score_file(pairs, tmp_path / "e.parquet")
    assert pl.read_parquet(tmp_path / "e.parquet")["evidence"].to_list() == [["a", "b"]]


def test_chunks_join_up(tmp_path: Path) -> None:
    count = CHUNK_ROWS + 5
    codes = np.arange(count, dtype=np.int32)
    genes = [f"G{code}" for code in range(count + 1)]
    table = ResultTable(PairList(genes, codes, codes + 1), codes, np.ones((count, 1), np.float32), ["probability"])
    assert written(table, tmp_path / "e.csv").read_text().splitlines()[-1] == f"G{count - 1},G{count},1.0"
    assert len(written(table, tmp_path / "e.sif").read_text().splitlines()) == count
    assert written(table, tmp_path / "e.graphml").read_text().count("<edge ") == count


def test_pandas_without_pyarrow(table: ResultTable) -> None:
    edges = frame(table).with_columns(
        when=pl.lit("2026-01-02").str.to_datetime(), parts=pl.lit(["a"], pl.List(pl.String))
    )
    found = to_pandas(edges)
    assert list(found.columns) == edges.columns
    assert found["probability"].dtype == np.float32
    assert len(found) == len(edges)
    for mine, theirs in zip(edges.rows(), found.itertuples(index=False), strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert one == other or (one is None and pd.isna(other))


def test_only_files_are_written_over(artifact: Path, tmp_path: Path) -> None:
    pipe, target, link = tmp_path / "pipe.csv", tmp_path / "real.csv", tmp_path / "link.csv"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is a device or a pipe"):
        load(artifact).score_file([("GENE1", "GENE2")], pipe)
    assert pipe.is_fifo()
    link.symlink_to(target.name)
    load(artifact).score_file([("GENE1", "GENE2")], link)
    assert link.is_symlink()
    assert len(pl.read_csv(target)) == 1


@pytest.mark.parametrize(("name", "file"), [("pyscenic", "e.tsv"), ("ugrn", "e.sif")])
def test_ranks_need_a_format_that_holds_them(artifact: Path, tmp_path: Path, name: str, file: str) -> None:
    table = pl.DataFrame({"source": ["GENE1"], "target": ["GENE2"], "importance": [1.0]})
    with pytest.raises(InputError, match="no columns for ranks"):
        load(artifact).score_file(table, tmp_path / file, ScoreSettings(format=name, rank=True))
    assert list(tmp_path.iterdir()) == []
