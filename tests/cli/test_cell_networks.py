"""``ugrn cell-networks`` from the command line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

from ugrn.cli.main import app
from ugrn.cli.main import run as run_commands
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
    arguments = ("cell-networks", cells, "--sources", tfs, "--artifact", artifact, "--top-k", 12, "-o", out)
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
    chosen = ("cell-networks", cells, "--artifact", artifact)
    said = run(*chosen, "--regulons", tmp_path / "regulons.gmt", "--top-share", 0.1, "--min-targets", 3, "-o", out)[1]
    assert "17 edges between 20 genes (17 activating, 0 repressing)" in said
    assert "1 regulons rejected (1 fewer than 3 targets in the cells)" in said
    assert pl.read_csv(f"{out}.rejects.csv")["name"].to_list() == ["GENE3"]
    said = run(*chosen, "--reference", out, "--reference-cells", cells, "--neighbours", 1, "-o", near)[1]
    assert "40 cells" in said
    first, second = CellNetworks.open(out), CellNetworks.open(near)
    assert np.array_equal(first.active, second.active)  # every cell is its own nearest


NEAR = ("{cells}", "--reference", "x.h5", "--reference-cells", "{cells}")
MISTAKES = [
    (["{cells}", "--top-k", "5", "-o", "n.csv"], "networks of cells are written as .h5"),
    (["{cells}", "--top-k", "5", "-o", "-"], "networks of cells are written as .h5"),
    (["{cells}", "-o", "n.h5"], "all pairs would be edges; add --top-k or --min-probability"),
    (["absent.h5ad", "--top-k", "5", "-o", "n.h5"], "no such file; expected cells"),
    (["{cells}", "--top-k", "5", "-o", "no/n.h5"], "mkdir"),
    (["{cells}", "--top-k", "5", "-o", "n.h5", "--min-targets", "50"], "lower --min-targets"),
    (["{cells}", "--top-k", "5", "-o", "n.h5", "--top-share", "2"], "a share above 0"),
    (["{cells}", "--top-k", "5", "-o", "n.h5", "--by", "both"], "by source or target"),
    (["{cells}", "--regulons", "absent.csv", "-o", "n.h5"], "no such file; expected a network"),
    (["{cells}", "--regulons", "x.csv", "--top-k", "5", "-o", "n.h5"], "nothing is scored then; leave out --top-k"),
    (["{cells}", "--regulons", "x.csv", "--by", "source", "-o", "n.h5"], "nothing is scored then; leave out --by"),
    (["{cells}", "--regulons", "x.csv", "--sources", "{tfs}", "-o", "n.h5"], "nothing is scored then"),
    (["{cells}", "--regulons", "x.csv", "--neighbours", "3", "-o", "n.h5"], "leave out --neighbours"),
    (["{cells}", "--reference", "x.h5", "-o", "n.h5"], "give both"),
    (["{cells}", "--reference-cells", "{cells}", "--top-k", "5", "-o", "n.h5"], "give both"),
    (["{cells}", "--top-k", "5", "--neighbours", "3", "-o", "n.h5"], "no --reference; leave out --neighbours"),
    ([*NEAR, "--min-targets", "3", "-o", "n.h5"], "has the regulons already; leave out --min-targets"),
    ([*NEAR, "--regulons", "x.csv", "--strict", "-o", "n.h5"], "leave out --regulons, --strict"),
    ([*NEAR, "-o", "n.h5"], "not readable as cell-specific networks"),
    (["{cells}", "--top-k", "5", "-o", "{cells}"], "networks of cells are written as .h5"),
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
    done = CliRunner().invoke(app, ["cell-networks", "--artifact", str(artifact), *filled])
    assert isinstance(done.exception, InputError), done.output
    assert words in str(done.exception)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_cells_are_not_overwritten(artifact: Path, cells: Path, tmp_path: Path) -> None:
    same = cells.rename(tmp_path / "cells.h5")
    arguments = ["cell-networks", str(same), "--artifact", str(artifact), "--top-k", "5", "-o", str(same)]
    done = CliRunner().invoke(app, arguments)
    assert "would overwrite the list it reads" in str(done.exception)


def test_a_cell_state_is_scored_in(artifact: Path, cells: Path, tfs: Path, tmp_path: Path) -> None:
    out, state = tmp_path / "net.h5", tmp_path / "state.csv"
    state.write_text("gene,value\nGENE1,2.0\nGENE4,1.0\n")
    arguments = ("cell-networks", cells, "--sources", tfs, "--artifact", artifact, "--top-k", 12, "-o", out)
    run(*arguments)
    plain = CellNetworks.open(out).regulons
    said = run(*arguments, "--context-values", state)[1]
    assert "cell state: 2 context genes" in said
    assert not np.array_equal(CellNetworks.open(out).regulons.weight, plain.weight)
    done = CliRunner().invoke(app, [*map(str, arguments), "--context-size", "4"])
    assert done.exit_code == 2
    assert "--context-values" in done.output


@pytest.mark.parametrize("words", [["--per-cell", "my cells.h5ad"], ["--per-cell=my cells.h5ad"]])
def test_the_option_of_network_names_the_command(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ["--regulons", "eRegulons.tsv", "-o", "n.h5"]
    monkeypatch.setattr("sys.argv", ["ugrn", "network", *words, *rest])
    with pytest.raises(SystemExit) as stop:
        run_commands()
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert shlex.split(line.rpartition(": ")[2]) == ["ugrn", "cell-networks", "my cells.h5ad", *rest]
    assert "--per-cell" in line
