"""``ugrn network --per-cell`` and ``ugrn link`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

from tests.helpers.multiome import cell_names, make, write_h5ad, write_h5mu, write_tables
from ugrn.cli.main import app
from ugrn.export.networks.cell_networks import CellNetworks
from ugrn.runtime.errors import InputError


def run(*arguments: str | Path) -> tuple[str, str]:
    """Standard output and standard error of a command that goes well."""
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exit_code == 0, f"{done.exception!r} {done.output}"
    return done.stdout, done.stderr


@pytest.fixture
def cells(random: np.random.Generator, tmp_path: Path) -> Path:
    counts = random.poisson(3.0, (40, 60)).astype(np.float32)
    obs = pd.DataFrame(index=[f"cell{row}" for row in range(40)])
    anndata.AnnData(counts, obs, pd.DataFrame(index=[f"GENE{row}" for row in range(60)])).write_h5ad(
        tmp_path / "c.h5ad"
    )
    return tmp_path / "c.h5ad"


@pytest.fixture
def tfs(tmp_path: Path) -> Path:
    (tmp_path / "tfs.txt").write_text("GENE9\nGENE2\nNOSUCH\n")
    return tmp_path / "tfs.txt"


def test_a_network_for_every_cell(artifact: Path, cells: Path, tfs: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.h5"
    arguments = ("network", "--sources", tfs, "--artifact", artifact, "--top-k", 12, "--per-cell", cells, "-o", out)
    said = run(*arguments)[1]
    for words in (
        "118 pairs scored, 24 edges kept",
        "genes of the cells: 60 of 60 names matched as symbols",
        f"1 sources rejected (1 unknown gene): {out}.rejects.csv",
        "2 regulons with 24 edges: ",
        "40 cells, ",
        str(out),
    ):
        assert words in said
    found = CellNetworks.open(out)
    assert found.metadata["network"]["settings"]["top_k"] == 12
    assert found.cells == [f"cell{row}" for row in range(40)]
    metadata = json.loads(run(*arguments, "-q", "--json")[0])
    assert (metadata["cells"], metadata["regulons"], metadata["edges"]) == (40, 2, 24)
    assert metadata["somewhere"] + metadata["everywhere"] + metadata["nowhere"] == 2
    assert np.array_equal(CellNetworks.open(out).active, found.active)


def test_a_network_of_a_file_for_every_cell_and_for_those_near_them(
    artifact: Path, cells: Path, tmp_path: Path
) -> None:
    rows = [
        f"GENE{source}_direct_+/+_(8g)\tx\t" + "\t".join(f"GENE{n}" for n in range(source * 10, source * 10 + 8))
        for source in (1, 2)
    ]
    (tmp_path / "regulons.gmt").write_text("\n".join([*rows, "GENE3(+)\tx\tGENE5\n"]))
    out, near = tmp_path / "net.h5", tmp_path / "near.h5"
    chosen = ("network", "--artifact", artifact, "--per-cell", cells)
    said = run(*chosen, "--regulons", tmp_path / "regulons.gmt", "--top-share", 0.1, "--min-targets", 3, "-o", out)[1]
    assert "17 edges between 20 genes (17 activating, 0 repressing)" in said
    assert "1 regulons rejected (1 fewer than 3 targets in the cells)" in said
    assert pl.read_csv(f"{out}.rejects.csv")["name"].to_list() == ["GENE3"]
    said = run(*chosen, "--reference", out, "--reference-cells", cells, "--neighbours", 1, "-o", near)[1]
    assert "40 cells" in said
    first, second = CellNetworks.open(out), CellNetworks.open(near)
    assert np.array_equal(first.active, second.active)  # every cell is its own nearest


MISTAKES = [
    (["--top-k", "5", "--per-cell", "{cells}", "-o", "n.csv"], "networks of cells are written as .h5"),
    (["--top-k", "5", "--per-cell", "{cells}", "-o", "-"], "networks of cells are written as .h5"),
    (["--top-k", "5", "--per-cell", "{cells}", "-o", "n.h5", "--format", "decoupler"], "written as .h5"),
    (["--per-cell", "{cells}", "-o", "n.h5"], "all pairs would be edges; add --top-k or --min-probability"),
    (["--top-k", "5", "--per-cell", "absent.h5ad", "-o", "n.h5"], "no such file; expected cells"),
    (["--top-k", "5", "--per-cell", "{cells}", "-o", "no/n.h5"], "mkdir"),
    (["--top-k", "5", "--per-cell", "{cells}", "-o", "n.h5", "--min-targets", "50"], "lower --min-targets"),
    (["--top-k", "5", "--per-cell", "{cells}", "-o", "n.h5", "--top-share", "2"], "a share above 0"),
    (["--top-k", "5", "-o", "n.csv", "--regulons", "{cells}"], "--regulons: for networks of cells; add --per-cell"),
    (["--top-k", "5", "-o", "n.csv", "--top-share", "0.1"], "--top-share: for networks of cells; add --per-cell"),
    (["--per-cell", "{cells}", "--regulons", "absent.csv", "-o", "n.h5"], "no such file; expected a network"),
    (["--per-cell", "{cells}", "--regulons", "x.csv", "--top-k", "5", "-o", "n.h5"], "nothing is scored then"),
    (["--per-cell", "{cells}", "--regulons", "x.csv", "--sources", "{tfs}", "-o", "n.h5"], "nothing is scored then"),
    (["--per-cell", "{cells}", "--reference", "x.h5", "-o", "n.h5"], "give both"),
    (["--per-cell", "{cells}", "--top-k", "5", "--neighbours", "3", "-o", "n.h5"], "--neighbours: of a --reference"),
    (
        [
            "--per-cell",
            "{cells}",
            "--reference",
            "x.h5",
            "--reference-cells",
            "{cells}",
            "--min-targets",
            "3",
            "-o",
            "n.h5",
        ],
        "has the regulons already; leave out --min-targets",
    ),
    (
        ["--per-cell", "{cells}", "--reference", "x.h5", "--reference-cells", "{cells}", "-o", "n.h5"],
        "not readable as cell-specific networks",
    ),
    (
        ["--per-cell", "{cells}", "--top-k", "5", "--context-values", "{cells}", "--groupby", "x", "-o", "n.h5"],
        "give one of them",
    ),
    (["--per-cell", "{cells}", "--top-k", "5", "-o", "{cells}"], "networks of cells are written as .h5"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_are_one_message_and_leave_nothing(
    artifact: Path,
    cells: Path,
    tfs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    filled = [each.format(cells=cells, tfs=tfs) for each in arguments]
    done = CliRunner().invoke(app, ["network", "--artifact", str(artifact), *filled])
    assert isinstance(done.exception, InputError), done.output
    assert words in str(done.exception)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_cells_are_not_overwritten(artifact: Path, cells: Path, tmp_path: Path) -> None:
    same = cells.rename(tmp_path / "cells.h5")
    arguments = ["network", "--artifact", str(artifact), "--top-k", "5", "--per-cell", str(same), "-o", str(same)]
    done = CliRunner().invoke(app, arguments)
    assert "would overwrite the list it reads" in str(done.exception)


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
