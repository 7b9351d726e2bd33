"""``ugrn adapt`` as its user meets it: from a network and cells to scores of the adapted backbone."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

from ugrn.cli.main import app, run
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.backbones.mini_checkpoint import Checkpoint, save_checkpoint
from ugrn.runtime import open_artifact


@pytest.fixture
def work(tmp_path: Path, new_backbone: Callable[[int], MiniBackbone], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint, cells and a network in the folder that commands are run in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pre").mkdir()
    save_checkpoint(Checkpoint(new_backbone(1), {}, ["GENE5", "GENE6"], {"licence": "MIT"}), tmp_path / "pre")
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, (40, 60)).astype(np.float32)
    var = pd.DataFrame(index=[f"GENE{gene}" for gene in range(60)])
    anndata.AnnData(counts, pd.DataFrame(index=[str(row) for row in range(40)]), var).write_h5ad("cells.h5ad")
    edges = sorted({(f"GENE{a}", f"GENE{b}") for a, b in rng.integers(0, 60, (900, 2)) if a != b})
    pl.DataFrame([*edges, ("GENE1", "NOPE")], schema=["source", "target"], orient="row").write_csv("edges.csv")
    return tmp_path


def ugrn(*arguments: str) -> tuple[str, str]:
    """Standard output and standard error of a command that goes well."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


ADAPT = ("adapt", "pre", "--network", "edges.csv", "--cells", "cells.h5ad", "-o", "adapted", "--steps", "10")


@pytest.mark.slow
def test_adapt_export_train_and_score(work: Path) -> None:
    out, err = ugrn(*ADAPT, "--network", "edges.csv", "--edge-perturbation", "0.3", "--threads", "1")
    assert "1 of 796 rows left out (1 target not in the vocabulary)" in err
    assert "40 cells, 4 of them held out; 60 genes that vary" in err
    assert "10 of 10 steps" in err
    assert "next: ugrn export adapted adapted" in err
    assert re.search(r"backbone alone +\d\.\d{5}", out)
    assert re.search(r"random network, same degrees +\d\.\d{5}", out)
    _, err = ugrn("export", "adapted", "adapted", "-o", "art", "--context-size", "2")
    assert "artifact written" in err
    ugrn("train", "art", "--edges", "edges.csv")
    ugrn("score", "edges.csv", "--artifact", "art", "-o", "scored.csv")
    assert pl.read_csv("scored.csv")["probability"].is_between(0, 1).all()
    manifest = open_artifact("art").manifest
    assert (manifest.backbone, manifest.readout, manifest.licence) == ("mini", "mvc", "MIT")
    assert "weights.safetensors" not in manifest.files  # which hold no adapter
    metadata = manifest.provenance["adapter"]
    assert [each["file"] for each in metadata["networks"]] == ["edges.csv", "edges.csv"]
    assert metadata["settings"]["perturbation"] == 0.3
    card = (work / "art" / "MODEL_CARD.md").read_text(encoding="utf-8")
    for words in (
        metadata["networks"][0]["sha256"],
        metadata["cells"]["sha256"],
        "with the adapter",
        "no independent test",
    ):
        assert words in card
    assert not [path for path in work.iterdir() if path.name.startswith(".")]


def test_json_and_quiet(work: Path) -> None:
    out, err = ugrn(*ADAPT, "--quiet", "--json", "--readout", "masked")
    assert err == ""
    found = json.loads(out)
    assert (found["output"], found["readout"]) == ("adapted", "masked")
    assert set(found["held_out"]["error"]) == {"before", "after", "without_edges", "random_network"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--network", "absent.csv"), "no such file"),
        (("--cells", "absent.h5ad"), "no such file"),
        (("--readout", "attn"), "no expression"),
        (("--family", "unheard-of"), "is not known"),
        (("--family", "adapted"), "adapted again"),
        (("--set", "x=1"), "not an option of mini"),
        (("--output", "pre"), "not an unfinished run"),
        (("--output", "no/out"), "mkdir"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(
    work: Path,
    change: tuple[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(work.rglob("*"))
    monkeypatch.setattr("sys.argv", ["ugrn", *ADAPT, *change])
    with pytest.raises(SystemExit) as stop:
        run()
    message = capsys.readouterr().err
    assert stop.value.code == 2, message
    assert words in message
    assert "Traceback" not in message
    assert sorted(work.rglob("*")) == before


SLOW = """
import time, ugrn.export.adapter.train as train
take = train._take_step
train._take_step = lambda *a: (time.sleep(0.02), take(*a))[1]
from ugrn.cli.main import run; run()
"""


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(work: Path) -> None:
    arguments = [*ADAPT[:-1], "150"]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE, text=True)
    while not (work / "adapted" / "resume.pt").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error
    (line,) = re.findall("^ugrn: interrupted; .*$", error, re.MULTILINE)
    assert shlex.split(line.partition("run it again: ")[2]) == ["ugrn", *arguments]
    ugrn(*arguments)
    assert (work / "adapted" / "adapted.json").is_file()
