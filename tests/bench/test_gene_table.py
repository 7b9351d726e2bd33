"""The shipped gene table is the one that the sources give (needs the real data)."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from bench.gene_table import build_gene_table, write_gene_table
from polars.testing import assert_frame_equal

from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.table import GeneTable

SHIPPED = Path(str(files("ugrn.artifacts"))) / "genes" / "names.parquet"


@pytest.fixture(scope="module")
def built(data: Path) -> pl.DataFrame:
    return build_gene_table(data / "genes")


def lines(data: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(data / "genes" / name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_shipped_table_is_the_one_that_is_built(built: pl.DataFrame, tmp_path: Path) -> None:
    assert_frame_equal(built, pl.read_parquet(SHIPPED))
    for name in ("a", "b"):
        write_gene_table(built, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert SHIPPED.stat().st_size < 2.5e6


def test_every_name_of_hgnc_is_found(data: Path, built: pl.DataFrame) -> None:
    """Names of one gene are matched with it, symbols with their own gene, and others are ambiguous.

    Symbols of NCBI are left out: HGNC may know the same name as another gene's alias.
    """
    genes: dict[str, set[str]] = {}
    listed = [row for row in lines(data, "human_gene_names.tsv.gz") if row["kind"] != "entrez"]
    for row in listed:
        genes.setdefault(row["name"].upper(), set()).add(row["symbol"])
    own = {row["name"].upper(): row["symbol"] for row in listed if row["kind"] == "symbol"}
    table = GeneTable(built)
    ncbi = {symbol.upper() for symbol in pl.read_parquet(data / "genes" / "human.parquet")["symbol"]} - set(own)
    names = sorted(set(genes) - ncbi)
    found = table.identify(names, mouse=False)
    for place, name in enumerate(names):
        rows = [found.genes[place]] if found.genes[place] >= 0 else found.candidates[place]
        assert {table.symbols[row] for row in rows} == ({own[name]} if name in own else genes[name]), name


def test_homologs_are_one_to_one_and_each_has_its_grounds(data: Path, built: pl.DataFrame) -> None:
    """Against plain loops over the pairs of MGI and of HGNC."""
    ids = {row["mgi_id"]: row["symbol"] for row in lines(data, "mgi_mouse_genes.tsv.gz")}
    current = {row["hgnc_id"]: row["symbol"] for row in lines(data, "hgnc_genes.tsv.gz")}
    mgi = {(row["mouse_symbol"], current[row["hgnc_id"]]) for row in lines(data, "mgi_human_mouse_homologs.tsv.gz")}
    hgnc = {
        (ids[mouse], row["symbol"])
        for row in lines(data, "hgnc_genes.tsv.gz")
        for mouse in row["mgd_id"].split("|")
        if mouse in ids
    }
    symbols = built["symbol"].to_list()
    found = {
        (mouse, symbols[human])
        for mouse, human in built.filter("mouse").select("symbol", "homolog").drop_nulls().iter_rows()
    }
    assert max(Counter(mouse for mouse, _ in found).values()) == max(Counter(human for _, human in found).values()) == 1
    alone = {}
    for name, pairs in (("mgi", mgi), ("hgnc", hgnc)):
        left, right = (Counter(pair[side] for pair in pairs) for side in (0, 1))
        alone[name] = {pair for pair in pairs if left[pair[0]] == right[pair[1]] == 1}
    assert alone["mgi"] <= found
    paired = [{pair[side] for pair in mgi | hgnc} for side in (0, 1)]
    by_letters = {symbol.upper(): symbol for symbol in current.values()}
    namesakes = {(mouse, by_letters[mouse.upper()]) for mouse in ids.values() if mouse.upper() in by_letters}
    named = {pair for pair in mgi | hgnc if pair in namesakes}
    named |= {(mouse, human) for mouse, human in namesakes if mouse not in paired[0] and human not in paired[1]}
    assert found <= alone["mgi"] | named | alone["hgnc"]
    taken = [{pair[side] for pair in alone["mgi"]} for side in (0, 1)]
    kept = set(built.filter("mouse")["symbol"])
    free = {pair for pair in named if pair[0] in kept and pair[0] not in taken[0] and pair[1] not in taken[1]}
    assert free <= found


def test_ids_of_the_sources_are_found(data: Path, built: pl.DataFrame, random: np.random.Generator) -> None:
    table = GeneTable(built)
    for name, species in (("hgnc_genes.tsv.gz", False), ("mgi_mouse_genes.tsv.gz", True)):
        rows = [row for row in lines(data, name) if row["ensembl_gene_id"]]
        several = Counter(row["ensembl_gene_id"] for row in rows)
        drawn = [rows[place] for place in random.choice(len(rows), 5000, replace=False)]
        drawn = [row for row in drawn if several[row["ensembl_gene_id"]] == 1]
        by_id = table.identify([row["ensembl_gene_id"] + ".3" for row in drawn])
        by_symbol = table.identify([row["symbol"] for row in drawn], mouse=species)
        both = (by_id.genes >= 0) & (by_symbol.genes >= 0)
        assert (by_id.genes[both] == by_symbol.genes[both]).all()
        assert both.mean() > 0.99


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"hgnc_genes\.tsv\.gz"):
        build_gene_table(tmp_path)
