"""Other tools' networks as pair lists, and gene sets as GMT."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from ugrn.runtime.errors import InputError
from ugrn.runtime.files.networks import read_gmt, read_network_pairs, regulon_signs
from ugrn.runtime.files.pairs import PairList

GMT = (
    "GATA1(+)\tmotif\tKLF1\tGYPA\nTAL1_(1g)\t\tGYPA\n \n"
    "KLF1_extended_-/+_(1g)\tx\tHBB\t\tHBA1\r\nSPI1 targets\tx\tCSF1R\n"
)
EDGES = [("GATA1", "KLF1"), ("GATA1", "GYPA"), ("TAL1", "GYPA"), ("KLF1", "HBB"), ("KLF1", "HBA1"), ("SPI1", "CSF1R")]


def ends(pairs: PairList) -> list[tuple[str, str]]:
    return [(pairs.genes[s], pairs.genes[t]) for s, t in zip(pairs.source, pairs.target, strict=True)]


@pytest.mark.parametrize("raw", [GMT.encode(), GMT.encode("utf-8-sig"), gzip.compress(GMT.encode())])
def test_gene_sets(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / ("sets.gmt.gz" if raw.startswith(b"\x1f\x8b") else "sets.gmt")
    path.write_bytes(raw)
    assert [(each.name, each.genes) for each in read_gmt(path)] == [
        ("GATA1(+)", ["KLF1", "GYPA"]),
        ("TAL1_(1g)", ["GYPA"]),
        ("KLF1_extended_-/+_(1g)", ["HBB", "HBA1"]),
        ("SPI1 targets", ["CSF1R"]),
    ]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"GATA1\tKLF1\n", "line 1 has 2 fields; expected GMT"),
        (b"a\tb\tc\n\nGATA1,x,KLF1\n", "line 3 has 1 fields; expected GMT"),
        (b"\xff\xfe\xfa", "cannot be read"),
    ],
)
def test_what_is_no_gmt_is_named(tmp_path: Path, raw: bytes, words: str) -> None:
    (tmp_path / "sets.gmt").write_bytes(raw)
    for read in (read_gmt, read_network_pairs):
        with pytest.raises(InputError, match=rf"sets\.gmt: .*{words}|sets\.gmt: {words}"):
            read(tmp_path / "sets.gmt")
    with pytest.raises(InputError, match="cannot be read"):
        read_gmt(tmp_path / "absent.gmt")


def test_regulons_are_edges_of_the_gene_they_are_named_by(tmp_path: Path) -> None:
    (tmp_path / "regulons.gmt").write_text(GMT)
    pairs = read_network_pairs(tmp_path / "regulons.gmt")
    assert ends(pairs) == EDGES
    signs = regulon_signs(pairs)
    assert signs is not None
    assert signs.to_list() == ["+", "+", None, "-", "-", None]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("grnboost.tsv", "GATA1\tKLF1\t3.5\nTAL1\tGYPA\t2\n"),
        ("adjacencies.tsv", "TF\ttarget\timportance\nGATA1\tKLF1\t3.5\nTAL1\tGYPA\t2\n"),
        ("adjacencies.csv", ",TF,target,importance\n0,GATA1,KLF1,3.5\n1,TAL1,GYPA,2\n"),
    ],
)
def test_adjacencies_keep_their_importance(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    pairs = read_network_pairs(tmp_path / name)
    assert ends(pairs) == [("GATA1", "KLF1"), ("TAL1", "GYPA")]
    assert pairs.extra["importance"].to_list() == [3.5, 2.0]
    assert regulon_signs(pairs) is None


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("eRegulon_name", ["GATA1_direct_+/+", "TAL1_extended_-/+"]),
        ("Gene_signature_name", ["GATA1_direct_+/+_(2g)", "TAL1_extended_-/+_(1g)"]),
        ("Region_signature_name", ["GATA1_+_+_(3r)", "TAL1_extended_-_+_(2r)"]),
        ("Consensus_name", ["GATA1_+", "TAL1_-"]),
    ],
)
def test_signs_of_eregulons(tmp_path: Path, column: str, names: list[str]) -> None:
    table = pl.DataFrame({"Region": ["chr1:1-9", "chr2:1-9"], "Gene": ["KLF1", "GYPA"], "TF": ["GATA1", "TAL1"]})
    table.with_columns(pl.Series(column, names)).write_csv(tmp_path / "eRegulons.tsv", separator="\t")
    pairs = read_network_pairs(tmp_path / "eRegulons.tsv")
    assert ends(pairs) == [("GATA1", "KLF1"), ("TAL1", "GYPA")]
    signs = regulon_signs(pairs)
    assert signs is not None
    assert signs.to_list() == ["+", "-"]
