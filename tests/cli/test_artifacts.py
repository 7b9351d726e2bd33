"""``ugrn artifacts``, and commands that take an artifact by its name."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import commands


@pytest.fixture
def home(tmp_path: Path, artifact: Path, untrained: Path) -> Path:
    """A user's folder with an artifact, one without a translator, and a damaged one."""
    mine = tmp_path / "home" / "artifacts"
    shutil.copytree(artifact, mine / "good")
    shutil.copytree(untrained, mine / "young")
    shutil.copytree(artifact, mine / "bad")
    (mine / "bad" / "genes.txt").write_text("GENE0\n")
    (mine / "bad" / "gdt.onnx").unlink()
    return tmp_path / "home"


def ugrn(home: Path, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return commands.ugrn(*arguments, cwd=cwd, env={"UGRN_HOME": str(home), "UGRN_OFFLINE": "1"})


def test_list(home: Path, artifact: Path) -> None:
    (home / "artifacts" / "old").mkdir()
    (home / "artifacts" / "old" / "artifact.json").write_text("{}")
    done = ugrn(home, "artifacts", "list")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["name", "place", "backbone", "genes", "licence", "MB", "translator"]
    assert [row[0] for row in rows[1:]] == ["bad", "good", "old", "young", "mini"]
    assert [row[-1] for row in rows if row[0] in ("good", "young")] == ["yes", "no"]
    assert next(row for row in rows if row[0] == "old")[2] == "damaged:"
    assert rows[5][:4] == ["mini", "bundled", "mini", "19,426"]
    listed = json.loads(ugrn(home, "artifacts", "list", "--json").stdout)["artifacts"]
    good = next(row for row in listed if row["name"] == "good")
    files = [path for path in artifact.iterdir() if path.name != "README.md"]
    assert good["bytes"] == sum(path.stat().st_size for path in files)
    assert (good["genes"], good["translator"], good["place"]) == (60, True, "user")
    assert "format" in next(row for row in listed if row["name"] == "old")["trouble"]


def test_verify_names_all_that_is_damaged(home: Path) -> None:
    done = ugrn(home, "artifacts", "verify")
    assert done.returncode == 2
    assert "bad: cannot be used" in done.stdout
    assert "good: 9 files, all as the manifest says" in done.stdout
    assert "bad/genes.txt: found 6 bytes" in done.stderr
    assert "bad/gdt.onnx: listed in the manifest but missing" in done.stderr
    done = ugrn(home, "artifacts", "verify", "good", "mini", "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["whole"] for line in done.stdout.splitlines()] == [True, True]
    digest = json.loads(done.stdout.splitlines()[0])["sha256"]
    assert ugrn(home, "artifacts", "verify", f"good#sha256={digest}").returncode == 0
    assert ugrn(home, "artifacts", "verify", f"mini#sha256={digest}").returncode == 2
    assert "nowhere" in ugrn(home, "artifacts", "verify", "nowhere").stderr


def test_path(home: Path, tmp_path: Path) -> None:
    assert ugrn(home, "artifacts", "path", "good").stdout == f"{home}/artifacts/good\n"
    assert ugrn(tmp_path / "new", "artifacts", "path").stdout == f"{tmp_path}/new/artifacts\n"
    assert (tmp_path / "new" / "artifacts").is_dir()
    assert ugrn(home, "artifacts", "path", "bad").returncode == 2
    done = ugrn(home, "artifacts", "path", f"hf://a/b@{'0' * 40}")
    assert done.returncode == 2
    assert "UGRN_OFFLINE forbids" in done.stderr


def test_commands_take_names(home: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("GENE1,GENE2\nGENE2,GENE3\n")
    done = ugrn(home, "score", "pairs.csv", "--artifact", "good", "-o", "e.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = ugrn(home, "network", "--artifact", "good", "-o", "n.csv", "--top-k", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "no translator" in ugrn(home, "score", "pairs.csv", "--artifact", "young", "-o", "f.csv", cwd=tmp_path).stderr
    )
    assert "60 genes" in ugrn(home, "info", "good").stdout
    done = ugrn(home, "train", "young", "--edges", "pairs.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "say where to write with -o" in done.stderr
