"""Reading pair lists, resolving names, and what is rejected."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugrn.runtime.engine.probe import plan_blocks
from ugrn.runtime.errors import PairListError
from ugrn.runtime.files import pair_tables as module
from ugrn.runtime.files.pairs import PairBatches, PairList, read_pairs, source_bounds, write_pair_batches
from ugrn.runtime.genes.names import GeneNames
from ugrn.runtime.genes.pairs import resolve_pairs

NAMES = GeneNames(["NANOG", "POU5F1", "SOX2", "GATA1", "C1orf1"], {"OCT4": "POU5F1", "SOX2": "GATA1", "X": "GONE"})


def as_list(pairs: PairList) -> list[tuple[str, str]]:
    return [(pairs.genes[s], pairs.genes[t]) for s, t in zip(pairs.source, pairs.target, strict=True)]


EXPECTED = [("POU5F1", "NANOG"), ("SOX2", "NANOG")]


@pytest.mark.parametrize(
    ("name", "text", "header"),
    [
        ("a.csv", "source,target\nPOU5F1,NANOG\nSOX2,NANOG\n", True),
        ("a.csv", "POU5F1,NANOG\nSOX2,NANOG", False),
        ("a.csv", "\ufeffsource,target\r\nPOU5F1,NANOG\r\nSOX2,NANOG\r\n", True),
        ("a.csv", "\ufeffPOU5F1,NANOG\nSOX2,NANOG\n", False),
        ("a.tsv", "weight\ttarget\tsource\n1\tNANOG\tPOU5F1\n2\tNANOG\tSOX2\n", True),
        ("a.txt", "TF\tGene\nPOU5F1\tNANOG\nSOX2\tNANOG\n", True),
        ("a.csv", '"source","target"\n"POU5F1","NANOG"\n" SOX2 ","NANOG"\n', True),
        ("a.csv", "POU5F1,NANOG,0.5,x\nSOX2,NANOG,0.1\n", False),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_text_pair_lists(tmp_path: Path, name: str, text: str, header: bool, packed: bool) -> None:
    path = tmp_path / (name + ".gz" if packed else name)
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    pairs = read_pairs(path)
    assert as_list(pairs) == EXPECTED
    assert pairs.header is header


def test_tables_frames_and_tuples(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": [1, 2], "Target": ["NANOG", "NANOG"], "Source": ["POU5F1", "SOX2"]})
    frame.write_parquet(tmp_path / "a.parquet")
    for given_pairs in (frame, tmp_path / "a.parquet", str(tmp_path / "a.parquet"), EXPECTED, iter(EXPECTED)):
        assert as_list(read_pairs(given_pairs)) == EXPECTED


def test_chunks_join_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [(f"G{a}", f"G{b}") for a, b in rng.integers(0, 50, (3000, 2))]
    path = tmp_path / "a.csv"
    path.write_text("".join(f"{a},{b}\n" for a, b in rows))
    pl.DataFrame(rows, schema=["source", "target"], orient="row").write_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    monkeypatch.setattr(module, "CHUNK_ROWS", 17)
    assert as_list(read_pairs(path)) == rows
    assert as_list(read_pairs(tmp_path / "a.parquet")) == rows


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"source,target\n", "no pairs"),
        ("a.csv", b"NANOG\nSOX2\n", "one column"),
        ("a.csv", b"\xff\xfe\x00,\x00\n", "UTF-8"),
        ("a.csv", b"A,B\nC\nD,E\n", "line 2"),
        ("a.csv", b'source,target,note\nA,B,5"\nC,D,x,extra\nE,F,3"\n', "line 3: found 4 columns; expected 3"),
        ("a.csv", b'source,target,note\nA,B,5" x\nC,D,x\nE,F,3" x\n', "from line 2: cannot be read as a table"),
        ("a.csv", b"source,target\rA,B\r", "no pairs"),
        ("a.csv.gz", b"not gzip", "gz"),
        ("a.parquet", b"not parquet", "damaged, or not what its name says"),
        ("a.h5", b"not hdf5", "pair batches"),
    ],
)
def test_unreadable_lists_are_one_clear_error(tmp_path: Path, name: str, raw: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(PairListError, match=words):
        read_pairs(tmp_path / name)


def test_absent_and_malformed_lists() -> None:
    with pytest.raises(PairListError, match="no such file"):
        read_pairs("nowhere.csv")
    with pytest.raises(PairListError, match="two columns"):
        read_pairs(pl.DataFrame({"a": ["x"]}))
    with pytest.raises(PairListError, match="tuples"):
        read_pairs([("A", "B", "C")])  # type: ignore[list-item]


def test_every_kind_of_reject_is_counted_and_written() -> None:
    rows = [
        ("POU5F1", "NANOG"),
        ("oct4", "Nanog"),  # the same pair by other names
        ("SOX2", "SOX2"),
        ("SOX2X", "NANOG"),
        ("NANOG", "XX99"),
        ("XX98", "XX99"),
        ("", "NANOG"),
        ("GATA1", None),
        ("C1ORF1", "SOX2"),
    ]
    resolved = resolve_pairs(read_pairs(pl.DataFrame(rows, schema=["source", "target"], orient="row")), NAMES)
    assert resolved.counts() == {
        "empty name": 2,
        "unknown source": 1,
        "unknown target": 1,
        "unknown source and target": 1,
        "self-pair": 1,
        "duplicate": 1,
    }
    assert resolved.accepted == 2
    rejects = resolved.rejects(NAMES)
    assert rejects["row"].to_list() == [2, 3, 4, 5, 6, 7, 8]
    assert rejects["reason"].to_list()[0] == "duplicate"
    assert "SOX2" in rejects["did_you_mean"][2]
    assert sorted(resolved.matches.unmatched()) == ["SOX2X", "XX98", "XX99"]


def test_names_by_case_and_alias() -> None:
    assert NAMES.ids(["nanog", "Oct4", "SOX2", "sox2", "x", "C1ORF1"]).tolist() == [0, 1, 2, 2, -1, 4]


@settings(deadline=None)  # the first list with another name reads the gene table
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60))
def test_accepted_pairs_are_the_first_of_each_kind(rows: list[tuple[int, int]]) -> None:
    known = ["NANOG", "POU5F1", "SOX2", "GATA1", "C1orf1", "Q1", "Q2"]
    resolved = resolve_pairs(read_pairs([(known[a], known[b]) for a, b in rows]), NAMES)
    seen, expected = set(), []
    for row, (a, b) in enumerate(rows):
        if a < 5 and b < 5 and a != b and (a, b) not in seen:
            expected.append(row)
        seen.add((a, b))
    assert np.flatnonzero(resolved.reason == 0).tolist() == expected
    order = resolved.sorted_rows
    keys = [(rows[r][0], rows[r][1]) for r in order]
    assert keys == sorted(keys)
    assert sum(resolved.counts().values()) + resolved.accepted == len(rows)


def test_pair_batches_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = GeneNames([f"G{i}" for i in range(30)])
    rows = [(f"G{a}", f"G{b}") for a, b in rng.permutation([(a, b) for a in range(30) for b in range(a)])]
    resolved = resolve_pairs(read_pairs(rows), names)
    write_pair_batches(resolved.pairs, resolved.ids, resolved.sorted_rows, tmp_path / "pairs.h5")
    assert as_list(read_pairs(tmp_path / "pairs.h5")) == rows
    with h5py.File(tmp_path / "pairs.h5") as file:
        indptr, source = file["sources/indptr"][:], file["pairs/source"][:]
        assert (indptr[0], indptr[-1]) == (0, len(rows))
        for first, last in zip(indptr, indptr[1:], strict=False):
            assert len(set(source[first:last])) == 1
        assert file["pairs/source"].dtype == np.int32
        assert file["pairs/source"].fletcher32
    batches, sorted_rows = PairBatches(tmp_path / "pairs.h5"), resolved.sorted_rows
    assert batches.indptr.tolist() == indptr.tolist()
    for first, last in ((0, len(rows)), (3, 17), (5, 5)):
        block = batches.block(first, last)
        expected = (*resolved.gene_ids(sorted_rows[first:last]), sorted_rows[first:last])
        assert [each.tolist() for each in block] == [each.tolist() for each in expected]


def test_hostile_pair_batches_are_refused(tmp_path: Path) -> None:
    for source, target in (([0, 5], [1, 0]), ([0], [1, 0]), ([-1, 0], [1, 0])):
        with h5py.File(tmp_path / "p.h5", "w") as file:
            file["genes/symbol"] = ["A", "B"]
            file["pairs/source"], file["pairs/target"] = np.array(source, np.int32), np.array(target, np.int32)
        with pytest.raises(PairListError, match="point into"):
            read_pairs(tmp_path / "p.h5")


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 5), st.integers(1, 20))
def test_blocks_cover_all_pairs_with_whole_sources(sizes: list[int], most_sources: int, most_pairs: int) -> None:
    sources = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    indptr = source_bounds(sources)
    blocks = list(plan_blocks(indptr, most_sources, most_pairs))
    assert [row for first, last in blocks for row in range(first, last)] == list(range(len(sources)))
    for first, last in blocks:
        held = set(sources[first:last].tolist())
        assert len(held) <= most_sources
        assert last - first <= most_pairs or len(held) == 1
        assert not held & set(sources[last:].tolist())


def test_blank_lines_are_passed_over_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n\nsource,target\n\nPOU5F1,NANOG\n\n\n  \nSOX2,NANOG\n\n")
    for size in (1 << 20, 10):
        monkeypatch.setattr(module, "CHUNK_BYTES", size)
        pairs = read_pairs(path)
        assert as_list(pairs) == EXPECTED
        assert pairs.header is True
    path.write_text("A,B\n\nC\nD,E\n")
    with pytest.raises(PairListError, match="line 3"):
        read_pairs(path)


def test_quoted_fields_may_span_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text('source,note,target\nPOU5F1,"one\n\n""two"", 2\n",NANOG\nSOX2,"x",NANOG\n')
    for size in (1 << 20, 10):
        monkeypatch.setattr(module, "CHUNK_BYTES", size)
        pairs = read_pairs(path)
        assert as_list(pairs) == EXPECTED
        assert pairs.extra["note"].to_list() == ['one\n\n"two", 2\n', "x"]
    path.write_text('source,target,note\nPOU5F1,NANOG,"a\nb"\nSOX2\n')
    with pytest.raises(PairListError, match="line 4"):
        read_pairs(path)


def test_the_separator_is_the_one_that_shows_the_columns(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("source\ttarget\tnote, with, many, commas\nPOU5F1\tNANOG\tx\nSOX2\tNANOG\ty\n")
    (tmp_path / "b.tsv").write_text("POU5F1\tNANOG\ta,b,c,d\nSOX2\tNANOG\te\n")
    (tmp_path / "C.CSV").write_text('"x,y",source,target\n1,POU5F1,NANOG\n2,SOX2,NANOG\n')
    for name in ("a.tsv", "b.tsv", "C.CSV"):
        assert as_list(read_pairs(tmp_path / name)) == EXPECTED


def test_damaged_files_are_one_clear_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    packed = gzip.compress("".join(f"G{a},G{b}\n" for a, b in rng.integers(0, 999, (50_000, 2))).encode())
    (tmp_path / "short.csv.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "torn.csv.gz").write_bytes(packed[:-8] + b"12345678")
    pl.DataFrame({"source": [["A"]], "target": ["B"]}).write_parquet(tmp_path / "list.parquet")
    with h5py.File(tmp_path / "float.h5", "w") as file:
        file["genes/symbol"] = ["A", "B"]
        file["pairs/source"], file["pairs/target"] = [0.9, 0.1], [1, 1]
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        file["genes/symbol"] = ["A", "B"]
        file["pairs/source"], file["pairs/target"] = np.array([2**32]), np.array([1])
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["genes/symbol"] = ["A", "B"]
        file["pairs/source"], file["pairs/target"] = [[0, 1]], [[1, 0]]
    for path in tmp_path.iterdir():
        with pytest.raises(PairListError, match=path.name.split(".")[0]):
            read_pairs(path)
    with pytest.raises(PairListError, match="no pairs"):
        read_pairs([])


def test_fields_that_span_lines_are_read_in_rows_and_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('source,target,"no\nte"\nA,B,"one\ntwo"\nC,D,3\n')
    read = read_pairs(path)
    assert read.extra.to_dict(as_series=False) == {"no\nte": ["one\ntwo", "3"]}
    assert [read.genes[code] for code in (*read.source, *read.target)] == ["A", "C", "B", "D"]


def test_frames_without_rows_have_no_pairs() -> None:
    empty = pl.DataFrame(schema={"source": pl.String, "target": pl.String, "note": pl.String})
    read = read_pairs(empty)
    assert (len(read), read.genes, read.extra.columns) == (0, [], ["note"])
    assert read.source.dtype == read.target.dtype == np.int32


def test_names_that_are_no_column_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("genes/symbol", data=[["A", "B"]], dtype=h5py.string_dtype())
        file["pairs/source"], file["pairs/target"] = [0], [1]
    with pytest.raises(PairListError, match="genes/symbol has 2 dimensions"):
        read_pairs(tmp_path / "a.h5")
