"""Places of peaks and genes as their tables write them, and which are near each other, against plain loops."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ugrn.export.networks.positions import Places, gene_places, near, peak_places
from ugrn.runtime.errors import InputError


def test_names_of_peaks() -> None:
    names = ["chr1:100-200", "chr1-100-200", "chr1_100_200", "X:5-10", "chrM:1-3", "chr1_KI270706v1_random:10-30"]
    found = peak_places(names)
    assert found.chromosome == ["1", "1", "1", "X", "MT", "1_KI270706v1_random"]
    assert found.at.tolist() == [150, 150, 150, 7.5, 2, 20]
    assert found.keys[:3] == ["1:100-200"] * 3
    unknown = peak_places(["peak1", "chr1:100", "chr1:a-b", ""])
    assert not unknown.known.any()
    assert unknown.keys == [""] * 4


def test_columns_of_peaks_stand_in_place_of_names() -> None:
    columns = {"chrom": ["chr1", "2"], "start": ["100", "x"], "end": ["200", "10"]}
    found = peak_places(["a", "b"], columns)
    assert found.known.tolist() == [True, False]
    assert (found.chromosome, found.at[0]) == (["1", "2"], 150)
    assert peak_places(["chr3:1-3", "b"], {"chrom": ["chr1", "2"]}).known.tolist() == [True, False]


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".tsv.gz", ".parquet"])
def test_starts_of_genes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"positions{suffix}"
    table = pl.DataFrame(
        {
            "Gene": ["A", "B", "C", "A", "D"],
            "Chromosome": ["chr1", "2", "chrX", "chr1", None],
            "Start": [10, 20, 30, 40, 50],
            "End": [100, 200, 300, 400, 500],
            "Strand": ["+", "-", "?", "1", "+"],
        }
    )
    if suffix == ".parquet":
        table.write_parquet(path)
    else:
        text = table.write_csv(separator="," if suffix == ".csv" else "\t").encode()
        path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    found = gene_places(path)
    assert found.names == ["A", "B", "C", "A", "D"]
    assert found.known.tolist() == [True, True, False, True, False]
    assert found.at[[0, 1, 3]].tolist() == [10, 200, 40]
    (tmp_path / "tss.tsv").write_text("chrom\tgene_name\ttranscription_start_site\n7\tA\t12\n7\tB\tx\n")
    found = gene_places(tmp_path / "tss.tsv")
    assert (found.chromosome, found.known.tolist(), found.at[0]) == (["7", "7"], [True, False], 12)


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "positions.tsv"
    with pytest.raises(InputError, match="no such file; expected a table"):
        gene_places(path)
    path.write_text("")
    with pytest.raises(InputError, match="cannot be read as a table"):
        gene_places(path)
    path.write_text("gene\tchromosome\ttss\n")
    with pytest.raises(InputError, match="has no rows"):
        gene_places(path)
    for header in ("gene\ttss\n", "chrom\ttss\n", "gene\tchrom\tstart\tend\n"):
        path.write_text(header + "\t".join("1" for _ in header.split()) + "\n")
        with pytest.raises(InputError, match="expected gene, chromosome, and tss or start, end and strand"):
            gene_places(path)


def places(random: np.random.Generator, count: int) -> Places:
    chromosome = random.choice(["1", "2", "X", ""], count).tolist()
    at = random.integers(0, 5000, count) / 2.0
    at[random.random(count) < 0.1] = np.nan
    names = [str(row) for row in range(count)]
    return Places(names, chromosome, at, names)


def test_near_pairs_are_those_of_a_plain_loop(random: np.random.Generator) -> None:
    peaks, genes = places(random, 70), places(random, 40)
    rows = random.integers(-1, 25, 40)
    window = float(random.integers(0, 400))
    expected = {
        (int(rows[start]), peak)
        for start in range(40)
        for peak in range(70)
        if rows[start] >= 0
        and genes.chromosome[start] == peaks.chromosome[peak] != ""
        and abs(genes.at[start] - peaks.at[peak]) <= window
    }
    found = near(peaks, genes, rows, window)
    assert list(zip(*(each.tolist() for each in found), strict=True)) == sorted(expected)
    assert [len(each) for each in near(peaks, genes, np.full(40, -1), window)] == [0, 0]
