"""The wheel in a clean environment: lean, without torch on disk, and it scores."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ABSENT = ("torch", "onnx", "onnxscript", "sklearn", "scipy", "pandas", "safetensors", "anndata", "plotly", "networkx")
MEGABYTES = 450


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing but ``ugrn[cpu]`` from a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0")[:-1]:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", folder, source], check=True)
    venv.create(folder / "env", with_pip=True)
    (wheel,) = folder.glob("*.whl")
    pip = [folder / "env" / "bin" / "python", "-m", "pip", "install", "--quiet", f"{wheel}[cpu]"]
    subprocess.run(pip, check=True)
    return folder / "env"


def run(lean: Path, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [lean / "bin" / command[0], *command[1:]], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("package", ABSENT)
def test_heavy_packages_are_not_there(lean: Path, package: str) -> None:
    done = run(lean, "python", "-c", f"import {package}")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.slow
def test_the_wheel_scores_a_pair_list(lean: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("source,target\nPOU5F1,NANOG\nGATA1,KLF1\nNOPE1,KLF1\n")
    done = run(lean, "ugrn", "score", "pairs.csv", "-o", "edges.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "edges.csv").read_text().splitlines()
    assert lines[0] == "source,target,probability,logit_vvp,logit_gdt,logit_emb"
    assert [line.split(",")[0] for line in lines[1:]] == ["POU5F1", "GATA1"]
    assert all(0 < float(line.split(",")[2]) < 1 for line in lines[1:])
    assert run(lean, "ugrn", "doctor").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "command"),
    [("export", ("export", "mini", "nowhere", "-o", "out")), ("report", ("report", "edges.csv", "-o", "r.html"))],
)
def test_a_missing_extra_is_named(lean: Path, tmp_path: Path, extra: str, command: tuple[str, ...]) -> None:
    done = run(lean, "ugrn", *command, cwd=tmp_path)
    assert done.returncode == 2
    assert f"pip install 'ugrn[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_reports_page_ships(lean: Path) -> None:
    code = "from importlib.resources import files as f; print(*(p.name for p in (f('ugrn.web') / 'page').iterdir()))"
    found = set(run(lean, "python", "-c", code).stdout.split())
    assert found == {path.name for path in (ROOT / "web" / "page").iterdir()}


@pytest.mark.slow
def test_the_environment_is_small_and_holds_only_what_is_needed(lean: Path) -> None:
    size = sum(path.stat().st_size for path in lean.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < MEGABYTES * 1e6
    code = """
import importlib.metadata as m, re
wanted, todo = set(), ["ugrn", "onnxruntime"]
norm = lambda n: re.sub(r"[-_.]+", "-", n).lower()
while todo:
    name = norm(todo.pop())
    if name in wanted: continue
    wanted.add(name)
    for need in m.requires(name) or []:
        if "extra ==" not in need:
            dist = re.match(r"[A-Za-z0-9._-]+", need).group()
            try: m.version(dist); todo.append(dist)
            except m.PackageNotFoundError: pass
print(sorted({norm(d.name) for d in m.distributions()} - wanted - {"pip", "setuptools"}))
"""
    done = run(lean, "python", "-c", code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
