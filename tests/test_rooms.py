"""The rooms' rules: who may import whom, what is public, and what docstrings say."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("runtime", "export", "web", "cli")
ARRAYS = {"Array", "Codes", "Doubles", "Dual", "Ids", "NDArray", "Numbers", "Tensor", "Value"}
SHAPE = re.compile(r"``\[[^\]]*\]``")
UPWARD = (
    ("runtime/files/text.py", "from ..runs import store", "ugrn.runtime.files.text -> ugrn.runtime.runs.store"),
    ("runtime/errors.py", "import torch", "ugrn.runtime.errors -> torch"),
    ("export/model/layers.py", "from ..graph import virtual_cell", "ugrn.export.model.layers -> ugrn.export.graph"),
    ("runtime/errors.py", "from ugrn.cli import exits", "ugrn.runtime.errors -> ugrn.cli.exits"),
)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of pyproject.toml, held against the packages that are found in a folder first."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    command += ["--config", str(ROOT / "pyproject.toml")]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}
    )


@pytest.mark.parametrize(("module", "line", "arrow"), UPWARD, ids=lambda each: str(each).split(" ")[-1])
def test_the_contracts_can_fail(tmp_path: Path, module: str, line: str, arrow: str) -> None:
    for package in (*PACKAGES, "artifacts"):
        shutil.copytree(ROOT / package, tmp_path / "ugrn" / package, ignore=shutil.ignore_patterns("*.onnx", "*.npy"))
    changed = tmp_path / "ugrn" / module
    changed.write_text(changed.read_text() + f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout
    assert arrow in done.stdout.replace("\n", "")


def modules(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def public_functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods whose names, and whose classes' names, have no underscore in front."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method


def names_in(node: ast.FunctionDef) -> set[str]:
    """The names of a signature's types."""
    arguments = [*node.args.args, *node.args.kwonlyargs]
    kinds = [each.annotation for each in arguments if each.annotation] + ([node.returns] if node.returns else [])
    return {part.id for kind in kinds for part in ast.walk(kind) if isinstance(part, ast.Name)}


def test_public_functions_of_arrays_say_shapes() -> None:
    """Without exception; a method without a docstring of its own is documented by the protocol it implements."""
    silent = [
        f"{name}:{node.lineno} {function}"
        for name, tree in modules("runtime", "export")
        for function, node in public_functions(tree)
        if names_in(node) & ARRAYS and (text := ast.get_docstring(node)) is not None and not SHAPE.search(text)
    ]
    assert silent == []


def test_docstrings_say_what_is_returned() -> None:
    asking = [
        f"{name}:{getattr(node, 'lineno', 1)}"
        for name, tree in modules(*PACKAGES, "bench")
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and re.match(r"(What|Whether|How|Where|Which|Who|When)\b", ast.get_docstring(node) or "")
    ]
    assert asking == []


def test_all_equals_the_public_names() -> None:
    import ugrn.runtime as module

    (tree,) = (tree for name, tree in modules("runtime") if name == "runtime/__init__.py")
    aliases = [alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    public = {alias.asname or alias.name for alias in aliases} - {"annotations"}
    assert sorted(public) == module.__all__


def test_every_package_is_in_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {path.parent for package in (*PACKAGES, "artifacts") for path in (ROOT / package).rglob("*.py")}
    assert sorted(settings["packages"]) == sorted(".".join(["ugrn", *path.relative_to(ROOT).parts]) for path in found)


def assigned(tree: ast.Module) -> set[str]:
    """The names that a module's statements give a value."""
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def test_kinds_of_arrays_are_defined_once() -> None:
    names = {name: assigned(tree) for name, tree in modules(*PACKAGES, "bench")}
    kinds = names.pop("runtime/arrays.py")
    assert {"Array", "Codes", "Doubles", "Ids"} <= kinds
    assert {name: again for name, found in names.items() if (again := found & kinds)} == {}
