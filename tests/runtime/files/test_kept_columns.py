"""A network that another method inferred: its columns are kept, its ranks merged with ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ugrn.runtime import InputError, PairListError, ScoreSettings, load, to_pandas
from ugrn.runtime.files.pairs import read_pairs

RNG = np.random.default_rng(21)
PAIRS = RNG.permutation([(f"GENE{a}", f"GENE{b}") for a in range(30) for b in range(60) if a != b])[:900]
NETWORK = pl.DataFrame(
    {
        "TF": PAIRS[:, 0],
        "note": [f"n{row:03d}" for row in range(900)],
        "target": PAIRS[:, 1],
        "importance": np.round(RNG.gamma(1, 10, 900), 1),  # with ties
        "count": RNG.integers(0, 9, 900),
    }
)
KEPT = ["note", "importance", "count"]


def as_file(tmp_path: Path, suffix: str) -> Path:
    path = tmp_path / f"grn{suffix}"
    if suffix == ".parquet":
        NETWORK.write_parquet(path)
    else:
        NETWORK.write_csv(path, separator="\t" if suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".parquet"])
@pytest.mark.parametrize("output", [".csv", ".parquet"])
def test_columns_are_kept_in_order_with_their_types(artifact: Path, tmp_path: Path, suffix: str, output: str) -> None:
    scorer = load(artifact)
    expected = scorer.score([tuple(pair) for pair in PAIRS.tolist()])
    scorer.score_file(as_file(tmp_path, suffix), tmp_path / f"e{output}")
    found = pl.read_csv(tmp_path / "e.csv") if output == ".csv" else pl.read_parquet(tmp_path / "e.parquet")
    assert found.columns == ["source", "target", *KEPT, *expected.columns[2:]]
    assert found.select(KEPT).equals(NETWORK.select(KEPT))
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-5)
    in_memory = scorer.score(as_file(tmp_path, suffix))
    assert in_memory.select(KEPT).equals(NETWORK.select(KEPT))


def test_columns_stay_with_their_pairs_when_others_are_rejected(artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "grn.tsv"
    path.write_text(
        "TF\ttarget\timportance\nGENE1\tGENE2\t5\nGENE1\tNOSUCHGENE\t4\nGENE3\tGENE3\t3\nGENE1\tGENE2\t2\nGENE9\tGENE2\t1\n"
    )
    summary = load(artifact).score_file(path, tmp_path / "e.csv")
    found = pl.read_csv(tmp_path / "e.csv")
    assert found.select("source", "target", "importance").rows() == [("GENE1", "GENE2", 5), ("GENE9", "GENE2", 1)]
    assert summary.rejected == {"unknown target": 1, "self-pair": 1, "duplicate": 1}
    metadata = json.loads((tmp_path / "e.csv.json").read_text())
    assert metadata["columns"] == {"kept": ["importance"], "renamed": {}}


def test_a_stopped_run_ends_with_the_same_bytes(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugrn.runtime.runs.score.MOST_SOURCES", 2)
    scorer, path = load(artifact), as_file(tmp_path, ".tsv")
    settings = ScoreSettings(rank=True)
    scorer.score_file(path, tmp_path / "whole.csv.gz", settings)

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scorer.score_file(path, tmp_path / "e.csv.gz", settings, stop)
    assert scorer.score_file(path, tmp_path / "e.csv.gz", settings).resumed_blocks > 0
    assert (tmp_path / "e.csv.gz").read_bytes() == (tmp_path / "whole.csv.gz").read_bytes()


def test_columns_changed_between_stop_and_start_are_the_new_ones(artifact: Path, tmp_path: Path) -> None:
    scorer, path = load(artifact), tmp_path / "grn.csv"

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    path.write_text("TF,target,importance\nGENE1,GENE2,5\n")
    with pytest.raises(KeyboardInterrupt):
        scorer.score_file(path, tmp_path / "e.csv", progress=stop)
    path.write_text("TF,target,importance\nGENE1,GENE2,7\n")
    assert scorer.score_file(path, tmp_path / "e.csv").resumed_blocks == 1
    assert pl.read_csv(tmp_path / "e.csv")["importance"].to_list() == [7]


def test_result_columns_give_way_to_the_lists_own(artifact: Path, tmp_path: Path) -> None:
    scorer = load(artifact)
    first = scorer.score([("GENE1", "GENE2")])
    second = scorer.score(first)
    names = first.columns[2:]
    assert second.columns == [*first.columns, *(f"{name}_ugrn" for name in names)]
    assert second["probability_ugrn"].to_list() == first["probability"].to_list()
    third = scorer.score(second)
    assert third.columns[-len(names) :] == [f"{name}_ugrn_ugrn" for name in names]
    summary = scorer.score_file(first, tmp_path / "e.csv")
    assert summary.renamed["probability"] == "probability_ugrn"
    assert scorer.score_file(first, tmp_path / "e.csv", ScoreSettings(format="decoupler")).renamed == {}
    assert pl.read_csv(tmp_path / "e.csv")["weight"].to_list() == pytest.approx(first["probability"].to_list())


def slow_ranks(values: list[float]) -> list[float]:
    """1 the strongest; equal ones share the mean of their places."""
    return [
        1 + sum(other > value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]


@pytest.mark.parametrize("rank", [True, "importance", "count"])
def test_ranks_against_plain_loops(artifact: Path, tmp_path: Path, rank: bool | str) -> None:
    scorer = load(artifact)
    column = "importance" if rank is True else str(rank)
    signed = NETWORK.with_columns(pl.col(column) * pl.Series(RNG.choice([-1, 1], 900)))
    plain = scorer.score(signed)
    theirs = slow_ranks([abs(value) for value in plain[column].to_list()])
    ours = slow_ranks(plain["probability"].to_list())
    merged = [(one + other) / 2 for one, other in zip(theirs, ours, strict=True)]
    order = sorted(range(900), key=lambda row: merged[row])
    found = scorer.score(signed, rank=rank)
    assert found.columns == [*plain.columns, f"rank_{column}", "rank_probability", "rank_merged"]
    assert found["note"].to_list() == [plain["note"][row] for row in order]
    for name, values in ((f"rank_{column}", theirs), ("rank_probability", ours), ("rank_merged", merged)):
        assert found[name].to_list() == [values[row] for row in order]
    summary = scorer.score_file(signed, tmp_path / "e.parquet", ScoreSettings(rank=rank))
    assert summary.ranked_by == column
    assert pl.read_parquet(tmp_path / "e.parquet")["note"].to_list() == found["note"].to_list()


def test_a_list_of_ours_can_be_ranked_again(artifact: Path) -> None:
    scorer = load(artifact)
    first = scorer.score(NETWORK, rank=True)
    again = scorer.score(first, rank="probability")
    assert again.columns[-3:] == ["rank_probability_ugrn", "rank_probability_ugrn_ugrn", "rank_merged_ugrn"]
    assert again["rank_merged_ugrn"].to_list() == sorted(first["rank_probability"].to_list())


@pytest.mark.parametrize(
    ("columns", "rank", "words"),
    [
        ({}, True, "has none; expected a column named importance, weight or score"),
        ({"strength": [1.0, 2.0]}, True, r"has \['strength'\].*--rank-by"),
        ({"weight": [1.0, 2.0]}, "importance", "expected 'importance'"),
        ({"weight": ["a", "b"]}, True, "2 pairs have no number in it, the first is row 1"),
        ({"weight": [1.0, None]}, True, "1 pairs have no number in it, the first is row 2"),
        ({"weight": [float("nan"), 1.0]}, "weight", "the first is row 1"),
    ],
)
def test_lists_that_cannot_be_ranked(
    artifact: Path, tmp_path: Path, columns: dict[str, list[object]], rank: bool | str, words: str
) -> None:
    pairs = pl.DataFrame({"source": ["GENE1", "GENE1"], "target": ["GENE2", "GENE3"], **columns})
    with pytest.raises(PairListError, match=words):
        load(artifact).score(pairs, rank=rank)
    with pytest.raises(InputError, match=words):
        load(artifact).score_file(pairs, tmp_path / "e.csv", ScoreSettings(rank=rank))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("header", "ends"),
    [
        ("TF\ttarget\timportance", (0, 1)),
        ("regulator\tweight\tTARGET", (0, 2)),
        ("Gene\tTF\tscore", (1, 0)),
        ("from\tto\tx", (0, 1)),
        ("regulatoryGene\ttargetGene\tweight", (0, 1)),
        ("\tTF\ttarget", (1, 2)),
        ("weight\tsource\ttarget", (1, 2)),
    ],
)
def test_columns_are_found_by_the_names_other_tools_use(tmp_path: Path, header: str, ends: tuple[int, int]) -> None:
    rows = [["0.5", "0.5", "0.5"], ["1.5", "1.5", "1.5"]]
    for row, genes in zip(rows, (("A", "B"), ("C", "D")), strict=True):
        for place, gene in zip(ends, genes, strict=True):
            row[place] = gene
    path = tmp_path / "a.tsv"
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]))
    table = pl.DataFrame(rows, schema=header.split("\t"), orient="row")
    for given in (path, table, to_pandas(table)):
        pairs = read_pairs(given)
        assert [(pairs.genes[s], pairs.genes[t]) for s, t in zip(pairs.source, pairs.target, strict=True)] == [
            ("A", "B"),
            ("C", "D"),
        ]
        assert pairs.extra.width == 1
        assert pairs.extra.to_series().cast(pl.Float64).to_list() == [0.5, 1.5]


def test_text_columns_become_numbers_where_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "source,target,whole,real,code,mixed,gaps,empty,source\nA,B,1,1e-3,007,1,,,x\nC,D,-2,2,010,NA,2.5,,y\n"
    )
    extra = read_pairs(path).extra
    assert extra.to_dict(as_series=False) == {
        "whole": [1, -2],
        "real": [0.001, 2.0],
        "code": ["007", "010"],
        "mixed": ["1", "NA"],
        "gaps": [None, 2.5],
        "empty": [None, None],
        "source_2": ["x", "y"],
    }


def test_lists_without_header(tmp_path: Path) -> None:
    (tmp_path / "grn.tsv").write_text("GATA1\tKLF1\t3.5\nTAL1\tGYPA\t2\n")
    assert read_pairs(tmp_path / "grn.tsv").extra.to_dict(as_series=False) == {"importance": [3.5, 2.0]}
    (tmp_path / "grn.tsv").write_text("GATA1\tKLF1\tup\nTAL1\tGYPA\n")
    assert read_pairs(tmp_path / "grn.tsv").extra.to_dict(as_series=False) == {"column_3": ["up", None]}
    (tmp_path / "grn.tsv").write_text("GATA1\tKLF1\t3.5\nTAL1\tGYPA\t2\t7\n")
    with pytest.raises(PairListError, match="line 2: found 4 columns; expected 3"):
        read_pairs(tmp_path / "grn.tsv")


def test_pandas_frames_are_read_like_polars_ones(artifact: Path) -> None:
    frame = pd.DataFrame(
        {
            "TF": pd.Categorical(["GENE1", "GENE2"]),
            "target": ["GENE5", "GENE6"],
            "importance": [1.5, 0.5],
            "n": pd.array([3, None], dtype="Int64"),
            "when": pd.to_datetime(["2026-01-02", None]),
            "note": ["x", None],
            7: [True, False],
        },
        index=["a", "b"],
    )
    found = load(artifact).score(frame, rank=True)
    assert found.columns[:7] == ["source", "target", "importance", "n", "when", "note", "7"]
    kept = found.select("source", "target", "importance", "n", "note", "7").sort("source").rows()
    assert kept == [("GENE1", "GENE5", 1.5, 3, "x", True), ("GENE2", "GENE6", 0.5, None, None, False)]
    assert found.sort("source")["when"].dt.year().to_list() == [2026, None]
