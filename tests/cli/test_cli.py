"""The command line as its user meets it: exit codes, messages, pipes, Ctrl-C, a second run."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.helpers.commands import ugrn
from ugrn.cli.doctor import FOR_DEVELOPERS, diagnose, packages
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.backbones.mini_checkpoint import Checkpoint, save_checkpoint
from ugrn.runtime import load

UGRN = str(Path(sys.executable).with_name("ugrn"))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("source,target\nGENE1,GENE2\nGENE2,GENE3\nGENE1,GENE1\nGENE61,GENE2\n")
    return path


def test_score_writes_a_table_and_says_what_it_left_out(artifact: Path, pairs: Path, tmp_path: Path) -> None:
    for _ in range(2):  # a second run is no different
        done = ugrn("score", pairs, "--artifact", artifact, "-o", tmp_path / "e.csv", "--top", 1)
        assert done.returncode == 0, done.stderr
        assert "2 of 4 pairs rejected (1 unknown source, 1 self-pair)" in done.stderr
        assert "e.csv.rejects.csv" in done.stderr
        assert "2 pairs scored" in done.stderr
        assert "\r" not in done.stderr + done.stdout
        assert len(done.stdout.splitlines()) == 2
    table = pl.read_csv(tmp_path / "e.csv")
    assert table.columns == ["source", "target", "probability", "logit_vvp", "logit_gdt"]
    features = ugrn("score", pairs, "--artifact", artifact, "-o", tmp_path / "e.parquet", "--features")
    assert features.returncode == 0
    assert pl.read_parquet(tmp_path / "e.parquet").width == 5 + 16
    rejects = pl.read_csv(tmp_path / "e.csv.rejects.csv")
    assert rejects["did_you_mean"][1] is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "{pairs}", "--artifact", "nowhere", "-o", "e.csv"], "artifact.json"),
        (["score", "nowhere.csv", "--artifact", "{artifact}", "-o", "e.csv"], "no such file"),
        (["score", "{pairs}", "--artifact", "{artifact}", "-o", "e.doc"], ".parquet"),
        (["score", "{pairs}", "--artifact", "{artifact}", "-o", "no/e.csv"], "mkdir"),
        (["score", "{pairs}", "--artifact", "{artifact}"], "-o"),
        (["score", "--artifact", "{artifact}", "-o", "e.csv"], "--example"),
        (["score", "--example", "--artifact", "{artifact}", "-o", "e.csv"], "no example pairs"),
        (["score", "{pairs}", "--artifact", "{artifact}", "-o", "e.csv", "--prior", "2"], "between 0 and 1"),
        (["score", "{pairs}", "--artifact", "{artifact}", "-o", "e.csv", "--provider", "tpu"], "cuda"),
        (["score", "{pairs}", "--artifact", "{artifact}", "-o", "e.csv", "--provider", "cuda"], "ugrn[gpu]"),
        (["score", "{pairs}", "--artifact", "{artifact}", "-o", "e.csv", "--memory-mb", "1"], "at least 16"),
        (["score", "{pairs}", "--artifact", "{artifact}", "-o", "e.csv", "--strict"], "did you mean"),
        (["score", "{pairs}", "--artifact", "{untrained}", "-o", "e.csv"], "ugrn train"),
        (["score", "{pairs}", "--nonsense"], "No such option"),
        (["network", "--artifact", "{artifact}"], "-o"),
        (["network", "--sources", "{pairs}", "--artifact", "{artifact}", "-o", "n.csv"], "none is left"),
        (["network", "--sources", "nowhere.txt", "--artifact", "{artifact}", "-o", "n.csv"], "no such file"),
        (["network", "--artifact", "{artifact}", "-o", "n.csv", "--by", "target"], "add --top-k"),
        (["network", "--artifact", "{artifact}", "-o", "n.csv", "--top-k", "0"], "from 1"),
        (["network", "--artifact", "{artifact}", "-o", "n.csv", "--prior", "0"], "between 0 and 1"),
        (["network", "--artifact", "{artifact}", "-o", "n.doc"], ".parquet"),
        (["network", "--artifact", "{artifact}", "-o", "n.csv", "--groupby", "x"], "need --context-values"),
        (["network", "--artifact", "{artifact}", "-o", "n.csv", "--provider", "cuda"], "ugrn[gpu]"),
        (["network", "--artifact", "{untrained}", "-o", "n.csv"], "ugrn train"),
        (["export", "unheard-of", "nowhere", "-o", "out"], "mini"),
        (["export", "mini", "nowhere", "-o", "out"], "ugrn pretrain"),
        (["train", "{artifact}", "--edges", "{pairs}"], "fewer than 20"),
        (["train", "{artifact}", "--edges", "nowhere.csv"], "no such file"),
        (["pretrain", "nowhere", "--genes", "nowhere", "-o", "out"], "human.parquet"),
        (["info", "nowhere"], "artifact.json"),
        (["nonsense"], "No such command"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(
    artifact: Path, untrained: Path, pairs: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    filled = [a.format(artifact=artifact, untrained=untrained, pairs=pairs) for a in arguments]
    done = ugrn(*filled, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert words in re.sub(r"[│\s]+", " ", done.stderr).replace("no- such", "no such")
    assert sorted(tmp_path.rglob("*")) == before


def test_network_writes_edges_and_says_what_it_left_out(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "tfs.txt").write_text("GENE1\nGENE61\nGENE2\n")
    arguments = ("network", "--sources", tmp_path / "tfs.txt", "--artifact", artifact, "-o", tmp_path / "n.csv")
    done = ugrn(*arguments, "--top-k", 5)
    assert done.returncode == 0, done.stderr
    assert "1 of 3 sources rejected (1 unknown gene)" in done.stderr
    assert "n.csv.rejects.csv" in done.stderr
    assert "118 pairs of 2 sources and 60 targets scored (2 self-pairs left out), 10 edges written" in done.stderr
    assert pl.read_csv(tmp_path / "n.csv")["source"].to_list() == ["GENE1"] * 5 + ["GENE2"] * 5
    assert ugrn(*arguments, "--strict").returncode == 2
    assert "--top-k 20 --by target" in ugrn("network", "--help").stdout


def test_info_and_doctor(artifact: Path) -> None:
    done = ugrn("info", artifact)
    assert done.returncode == 0
    assert "parity" in done.stdout
    assert "0.600" in done.stdout
    assert json.loads(ugrn("info", artifact, "--json").stdout)["readout"] == "mvc"
    done = ugrn("doctor")
    assert done.returncode == 0
    assert "CPUExecutionProvider" in done.stdout


def test_doctor_names_the_line_that_mends() -> None:
    assert diagnose({"onnxruntime": "1", "onnxruntime-gpu": None}) == []
    assert "pip uninstall" in diagnose({"onnxruntime": "1", "onnxruntime-gpu": "1"})[0]
    assert "ugrn[cpu]" in diagnose({"onnxruntime": None, "onnxruntime-gpu": None})[0]


def test_doctor_lists_the_packages_of_every_extra() -> None:
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = {"runtime": ["ugrn", *project["dependencies"]], **project["optional-dependencies"]}
    expected = {
        extra: sorted(re.split(r"[<>=\[ ]", each)[0] for each in listed if not each.startswith("ugrn["))
        for extra, listed in extras.items()
        if extra not in FOR_DEVELOPERS
    }
    assert {extra: sorted(names) for extra, names in packages().items()} == expected


def many_pairs(path: Path) -> Path:
    rows = [f"GENE{a},GENE{b}\n" for a in range(60) for b in range(60) if a != b]
    path.write_text("".join(rows))
    return path


def test_a_terminal_gets_one_moving_line_with_rate_and_time_left(artifact: Path, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [UGRN, "score", many_pairs(tmp_path / "p.csv"), "--artifact", artifact, "-o", tmp_path / "e.csv"]
    done = subprocess.run(command, stderr=follower, check=False)
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert done.returncode == 0
    assert "\r\x1b[K3,540 of 3,540 pairs (" in shown
    assert "pairs/s" in shown


@pytest.mark.parametrize("command", ["score", "network"])
def test_ctrl_c_is_quiet_and_leaves_a_resumable_run(artifact: Path, tmp_path: Path, command: str) -> None:
    slow = (
        "import time, ugrn.runtime.runs.score as s, ugrn.runtime.engine.probe as p\n"
        "s.MOST_SOURCES = p.MOST_SOURCES = 1\n"
        "f = p.Prober.cells\n"
        "p.Prober.cells = lambda *a: (time.sleep(0.05), f(*a))[1]\n"
        "from ugrn.cli.main import run; run()"
    )
    pairs = [many_pairs(tmp_path / "p.csv")] if command == "score" else []
    arguments = [command, *pairs, "--artifact", artifact, "-o", tmp_path / "e.csv"]
    process = subprocess.Popen([sys.executable, "-c", slow, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "e.csv.run" / "part-00002.h5").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not (tmp_path / "e.csv").exists()
    (line,) = re.findall("^ugrn: interrupted; .*$", error, re.MULTILINE)
    again = shlex.split(line.partition("run it again: ")[2])
    assert again == ["ugrn", *map(str, arguments)]
    subprocess.run([sys.executable, "-c", slow, *again[1:]], capture_output=True, check=True)
    assert json.loads((tmp_path / "e.csv.json").read_text())["resumed_blocks"] >= 3


@pytest.mark.slow
def test_export_train_and_score_from_the_command_line(tmp_path: Path, backbone: MiniBackbone) -> None:
    (tmp_path / "pre").mkdir()
    save_checkpoint(Checkpoint(backbone, {"OLD": "GENE1"}, ["GENE5", "GENE6"], {}), tmp_path / "pre")
    done = ugrn("export", "mini", "pre", "-o", "art", "--context-size", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = ugrn("export", "mini", "pre", "-o", "art", cwd=tmp_path)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    rng = np.random.default_rng(0)
    edges = {(f"GENE{a}", f"GENE{b}") for a, b in rng.integers(0, 60, (900, 2)) if a != b}
    pl.DataFrame(sorted(edges), schema=["source", "target"], orient="row").write_csv(tmp_path / "edges.csv")
    done = ugrn("train", "art", "--edges", "edges.csv", "-o", "trained", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "validation AUPRC ensemble" in done.stdout
    metrics = load(tmp_path / "trained").artifact.manifest.metrics
    assert metrics["network"] == "edges"
    assert set(metrics["calibration"]["after"]) == {"ece", "brier", "bins"}
    first = (tmp_path / "trained" / "translator.npz").read_bytes()
    assert ugrn("train", "art", "--edges", "edges.csv", cwd=tmp_path).returncode == 0  # in place, same seed
    with np.load(tmp_path / "art" / "translator.npz") as one, np.load(tmp_path / "trained" / "translator.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in two.files)
    assert first
    done = ugrn("score", "edges.csv", "--artifact", "art", "-o", "scored.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
