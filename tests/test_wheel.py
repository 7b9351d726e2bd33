"""The wheel in a clean environment: lean, without torch on disk, and it scores."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from tests.helpers.tracked import LOCK, ROOT, copy_tracked

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
NEEDED = [*PROJECT["dependencies"], *EXTRAS["cpu"], *EXTRAS["hub"]]
TOOLS = ("pytest", "hypothesis")
ABSENT = ("torch", "onnx", "onnxscript", "sklearn", "scipy", "pandas", "safetensors", "anndata", "plotly", "networkx")
MEGABYTES = 450


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built wheel of the files that git knows."""
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_tracked(folder / "source")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def environment(folder: Path, *requirements: str) -> Path:
    """A virtual environment with nothing but these."""
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *requirements], check=True)
    return folder


@pytest.fixture(scope="module")
def lean(wheel: Path) -> Path:
    """An environment with nothing but ``ugrn[cpu]``, in the versions that were locked."""
    return environment(wheel.with_name("env"), "-c", LOCK, f"{wheel}[cpu]")


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


def lowest(requirement: str) -> str:
    """``name==V`` of ``name>=V``."""
    match = re.fullmatch(r"([A-Za-z0-9-]+)>=([0-9.]+)", requirement)
    assert match, f"{requirement}: expected a name and its lowest version"
    return f"{match[1]}=={match[2]}"


def is_lean(path: Path) -> bool:
    """True where a test module imports nothing at its top that a lean installation lacks."""
    known = (
        {re.split("[>=<]", each)[0] for each in (*NEEDED, *TOOLS)} | {"tests", "ugrn"} | set(sys.stdlib_module_names)
    )
    imported = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.append(node.module or "")
    heavy = ("ugrn.export", "ugrn.web", "tests.helpers.backbones", "tests.helpers.checkpoints")
    return all(name.split(".")[0] in known and not name.startswith(heavy) for name in imported)


@pytest.mark.slow
def test_the_runtime_works_with_the_lowest_versions(wheel: Path) -> None:
    """Those that pyproject.toml states, and without the research stack."""
    env = environment(wheel.with_name("lowest"), *map(lowest, NEEDED), *TOOLS, f"{wheel}[cpu]")
    modules = sorted(
        path for room in ("runtime", "crash", "attacks") for path in (ROOT / "tests" / room).rglob("test_*.py")
    )
    chosen = [str(path) for path in modules if is_lean(path)]
    assert len(chosen) > 15
    options = ("-q", "-p", "no:cacheprovider", "-m", "not slow", "-W", "ignore::DeprecationWarning")  # typer's own
    done = run(env, "python", "-m", "pytest", *options, *chosen, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert re.search(r"\b\d{3,} passed", done.stdout)
