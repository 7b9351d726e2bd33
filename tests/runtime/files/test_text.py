"""Small tables of texts: every format gives the same, and columns go by any of several names."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from ugrn.runtime.errors import InputError
from ugrn.runtime.files.text import column_of, read_table

TABLE = pl.DataFrame({" Gene": ["A", "B, C", None], "TSS": ["007", "x", "1.50"]})


@pytest.mark.parametrize("name", ["t.tsv", "t.csv", "t.csv.gz", "t.tsv.gz", "t.txt", "t.parquet"])
def test_cells_are_texts_in_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "t.parquet":
        TABLE.write_parquet(path)
    else:
        text = TABLE.write_csv(separator="," if ".csv" in name else "\t").encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read_table(path).equals(TABLE)


def test_numbers_of_parquet_are_texts(tmp_path: Path) -> None:
    pl.DataFrame({"at": [1, None]}).write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["at"].to_list() == ["1", None]


def test_the_first_of_some_names_is_found_in_any_case() -> None:
    assert column_of(TABLE, ("symbol", "gene", "tss")) == " Gene"
    assert column_of(TABLE, ("tss", "gene")) == "TSS"
    assert column_of(TABLE, ("symbol",)) is None
    assert column_of(pl.DataFrame({"GENE": ["1"], "gene": ["2"]}), ("gene",)) == "GENE"


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("t.tsv", None, "no such file; expected a table"),
        ("t.tsv", b"", "cannot be read as a table"),
        ("t.parquet", b"no parquet", "cannot be read as a table"),
        ("t.csv", b"gene,tss\n", r"has no rows below its column names \['gene', 'tss'\]"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, name: str, raw: bytes | None, words: str) -> None:
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / name)


def test_the_first_line_that_is_not_blank_tells_the_separator(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\n gene\tstart \nA\t1\n")
    assert read_table(tmp_path / "t.txt").columns == [" gene", "start "]
