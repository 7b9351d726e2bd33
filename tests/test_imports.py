"""Who may import whom: the runtime without torch, the command line without the export stage."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED_IN_RUNTIME = {"numpy", "h5py", "polars", "onnxruntime", "threadpoolctl", "ugrn"}
OPTIONAL_IN_RUNTIME = {"pandas", "huggingface_hub"}  # inside functions only
FORBIDDEN = (
    "torch",
    "onnx",
    "onnxscript",
    "sklearn",
    "scipy",
    "pandas",
    "anndata",
    "plotly",
    "networkx",
    "huggingface_hub",
    "ugrn.export",
    "ugrn.web",
)

PROBE = """
import sys
{first}
import {module}
from ugrn.runtime import load
loaded = {{name for name in sys.modules if name in {forbidden!r}}}
print(" ".join(sorted(loaded)))
"""


def forbidden_after(module: str, first: str = "") -> set[str]:
    """Which forbidden packages a fresh interpreter has loaded after importing a module."""
    code = PROBE.format(module=module, first=first, forbidden=FORBIDDEN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["ugrn.runtime", "ugrn.cli.main", "ugrn.artifacts"])
def test_lean_packages_load_nothing_of_the_export_stage(module: str) -> None:
    assert forbidden_after(module) == set()


def test_the_report_loads_nothing_of_the_export_stage() -> None:
    assert forbidden_after("ugrn.web.report") <= {"plotly", "networkx", "scipy", "pandas", "ugrn.web"}


def test_the_rule_test_can_fail() -> None:
    assert forbidden_after("ugrn.runtime", first="import onnx") == {"onnx"}


def test_runtime_names_only_allowed_packages() -> None:
    import ast

    import ugrn.runtime

    for path in Path(ugrn.runtime.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        late = {node for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                top = name.split(".")[0]
                allowed = ALLOWED_IN_RUNTIME | (OPTIONAL_IN_RUNTIME if node in late else set())
                assert top in allowed or top in sys.stdlib_module_names, f"{path.name} imports {name}"
                assert not name.startswith(("ugrn.export", "ugrn.cli", "ugrn.web")), f"{path.name} imports {name}"


def test_exported_names_are_importable_and_documented() -> None:
    import ugrn.runtime as runtime

    for name in runtime.__all__:
        assert getattr(runtime, name).__doc__, name


def test_tests_share_helpers_and_import_no_other_test() -> None:
    for path in Path(__file__).parent.rglob("*.py"):
        found = re.findall(r"(?m)^\s*(?:from|import) ((?:tests\.(?!helpers)|test_|conftest)\S*)", path.read_text())
        assert not found, f"{path.name} imports {found}"
