"""``ugrn link`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tests.helpers.multiome import cell_names, make, write_h5ad, write_h5mu, write_tables
from ugrn.cli.main import app
from ugrn.runtime.errors import InputError


def run(*arguments: str | Path) -> tuple[str, str]:
    """Standard output and standard error of a command that goes well."""
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exit_code == 0, f"{done.exception!r} {done.output}"
    return done.stdout, done.stderr


def test_links_of_an_h5mu_and_of_two_files(random: np.random.Generator, tmp_path: Path) -> None:
    made = make(random)
    mu = write_h5mu(tmp_path / "m.h5mu", made)
    positions, hits = write_tables(tmp_path, made)
    tables = ("--gene-positions", positions, "--motif-hits", hits, "--min-correlation", 0.3)
    out, said = run("link", mu, *tables, "-o", tmp_path / "net.csv")
    assert out == ""
    assert "300 cells, 60 genes, 180 peaks: 120 pairs within the window" in said
    assert " edges of " in said
    rna = write_h5ad(tmp_path / "rna.h5ad", made.rna, cell_names(), made.genes)
    atac = write_h5ad(tmp_path / "atac.h5ad", made.atac, cell_names(), made.peaks)
    streamed, _ = run("link", "--rna", rna, "--atac", atac, *tables, "-o", "-", "-q")
    assert streamed == (tmp_path / "net.csv").read_text()
    metadata = json.loads(run("link", mu, *tables, "-o", tmp_path / "net.tsv", "-q", "--json")[0])
    assert metadata["edges"] == pl.read_csv(tmp_path / "net.csv").height
    assert metadata["output"] == str(tmp_path / "net.tsv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.h5ad", "-o", "n.csv"], "expected an .h5mu file, or two .h5ad files"),
        (["-o", "n.csv"], "give an .h5mu file with both, or --rna and --atac"),
        (["--rna", "r.h5ad", "-o", "n.csv"], "give an .h5mu file with both"),
        (["m.h5mu", "--rna", "r.h5ad", "-o", "n.csv"], "and not more"),
        (["m.h5mu", "-o", "n.csv"], "no such file"),
        (["m.h5mu", "-o", "n.doc"], "not a known format"),
        (["m.h5mu", "-o", "p.csv"], "would overwrite the list it reads"),
        (["m.h5mu", "-o", "n.csv", "--window", "-5"], "expected base pairs from 0"),
    ],
)
def test_mistakes_of_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.csv").write_text("gene,chromosome,tss\nGENE1,chr1,100\n")
    done = CliRunner().invoke(app, ["link", "--gene-positions", "p.csv", "--motif-hits", "h.tsv", *arguments])
    assert isinstance(done.exception, InputError), done.output
    assert words in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
