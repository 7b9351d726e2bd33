"""What commands say where: notes on standard error, results on standard output, colours on terminals only."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from ugrn.cli.main import COMMANDS, app
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.backbones.mini_checkpoint import Checkpoint, save_checkpoint

UGRN = str(Path(sys.executable).with_name("ugrn"))


@pytest.fixture
def edges(tmp_path: Path) -> Path:
    """A network large enough for a fit, with one gene that is unknown."""
    path = tmp_path / "edges.csv"
    rows = [f"GENE{a},GENE{(a * 7 + b) % 60}\n" for a in range(60) for b in (1, 5, 9, 13, 21, 34)]
    path.write_text("source,target\n" + "".join(dict.fromkeys(rows)) + "GENE61,GENE1\n")
    return path


def run(*arguments: str | Path) -> tuple[str, str]:
    """Standard output and standard error of a command that goes well."""
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def test_json_is_one_object_and_quiet_is_silence(artifact: Path, edges: Path, tmp_path: Path) -> None:
    arguments = ("score", edges, "--artifact", artifact, "-o", tmp_path / "e.csv")
    out, err = run(*arguments)
    assert out == ""
    assert "pairs scored" in err
    assert "rejected" in err
    out, err = run(*arguments, "--quiet", "--json")
    assert err == ""
    found = json.loads(out)
    assert found["output"] == str(tmp_path / "e.csv")
    assert found["read"] - found["scored"] == sum(found["rejected"].values()) > 0
    assert found["rejects"] == str(tmp_path / "e.csv.rejects.csv")
    out, err = run("network", "--artifact", artifact, "-o", tmp_path / "n.csv", "--top-k", 2, "-q", "--json")
    assert err == ""
    assert json.loads(out)["written"] == pl.read_csv(tmp_path / "n.csv").height == 120
    assert run("network", "--artifact", artifact, "-o", tmp_path / "n.csv", "-q") == ("", "")


def test_every_result_of_several_states_is_a_line(artifact: Path, edges: Path, tmp_path: Path) -> None:
    (tmp_path / "state.csv").write_text("gene,value\nGENE1,2.0\n")
    arguments = ("score", edges, "--artifact", artifact, "-o", tmp_path / "e.csv", "--json")
    out, err = run(*arguments, "--context-values", tmp_path / "state.csv")
    assert "1 context genes" in err
    assert [json.loads(line)["output"] for line in out.splitlines()] == [str(tmp_path / "e.csv")]
    assert CliRunner().invoke(app, [*map(str, arguments), "--top", "3"]).exit_code == 2


@pytest.mark.slow
def test_export_and_train_give_json_and_are_quiet(
    backbone: MiniBackbone, edges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(Checkpoint(backbone, {}, ["GENE5"], {}), Path())
    out, err = run("export", "mini", ".", "-o", "art", "--quiet", "--json")
    assert err == ""
    found = json.loads(out)
    assert (found["output"], found["readout"]) == ("art", "mvc")
    assert set(found["deviation"]) == {"vvp.onnx", "gdt.onnx"}
    out, err = run("train", "art", "--edges", edges, "--quiet", "--json")
    assert err == ""
    metrics = json.loads(out)["metrics"]
    assert metrics == json.loads(run("info", "art", "--json")[0])["metrics"]
    out, err = run("train", "art", "--edges", edges)
    assert "validation AUPRC ensemble" in out
    assert "1 of " in err
    assert "left out" in err


def test_doctor_gives_json() -> None:
    found = json.loads(run("doctor", "--json")[0])
    assert found["works"] is True
    assert "CPUExecutionProvider" in found["providers"]
    assert found["versions"]["onnxruntime"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_pipes_get_neither_boxes_nor_colours(name: str) -> None:
    done = subprocess.run([UGRN, name, "--help"], capture_output=True, text=True, check=True)
    assert f"ugrn {name} " in done.stdout
    assert not re.search("[╭│\x1b]", done.stdout)
    done = subprocess.run([UGRN, name, "--nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such option: --nonsense" in done.stderr
    assert not re.search("[╭│\x1b]", done.stderr)


def on_terminal(*arguments: str, **environment: str) -> str:
    """What a command shows on a terminal."""
    leader, follower = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"} | environment
    subprocess.run([UGRN, *arguments], stdout=follower, stderr=follower, env=env, check=False)
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode(errors="replace")
    os.close(leader)
    return shown


def test_terminals_get_colours_unless_no_color_is_set() -> None:
    colour = r"\x1b\[(\d+;)*(3[0-8]|9[0-7])(;\d+)*m"
    assert re.search(colour, on_terminal("score", "--nonsense"))
    assert not re.search(colour, on_terminal("score", "--nonsense", NO_COLOR="1"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str) -> None:
    variables = {"_UGRN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "ugrn sc", "COMP_WORDS": "ugrn sc"}
    more = {"COMP_CWORD": "1", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run([UGRN], capture_output=True, text=True, env=os.environ | variables | more, check=False)
    assert "score" in done.stdout
    source = subprocess.run(
        [UGRN], capture_output=True, text=True, env=os.environ | {"_UGRN_COMPLETE": f"source_{shell}"}, check=False
    )
    assert "_UGRN_COMPLETE" in source.stdout
