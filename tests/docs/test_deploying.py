"""What docs/deploying.md says of containers and of C++, as far as it can be tried without a container engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.tracked import LOCK, ROOT, copy_tracked
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.bundle.artifact import ExportSettings, write_artifact
from ugrn.export.model.base import Origin
from ugrn.runtime import RuntimeSettings, open_artifact
from ugrn.runtime.engine.session import GraphSession

TEXT = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(found)


@pytest.mark.slow
def test_the_containers_pip_lines(tmp_path: Path) -> None:
    copy_tracked(tmp_path / "src")
    venv.create(tmp_path / "env", with_pip=True)
    env = os.environ | {"PATH": f"{tmp_path / 'env' / 'bin'}:{os.environ['PATH']}", "UGRN_OFFLINE": "1"}
    env.pop("PYTHONPATH", None)
    env |= {"PIP_CONSTRAINT": LOCK, "PIP_BUILD_CONSTRAINT": LOCK}
    lines = re.findall(r"^RUN (python -m pip .*)$", block("dockerfile"), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        here = line.replace("/wheels", str(tmp_path / "wheels")).replace("/src", str(tmp_path / "src"))
        subprocess.run(["bash", "-c", here], env=env, check=True, capture_output=True)
    (entry,) = re.findall(r'^ENTRYPOINT \["(.*)"\]$', block("dockerfile"), re.MULTILINE)
    command = [str(tmp_path / "env" / "bin" / entry), "score", "--example", "-o", "edges.csv"]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
    assert (tmp_path / "edges.csv").read_text().startswith("source,target,probability")


@pytest.mark.slow
def test_the_cpp_program_answers_as_onnxruntime(backbone: MiniBackbone, tmp_path: Path) -> None:
    if shutil.which("cmake") is None or shutil.which("g++") is None:
        pytest.skip("no cmake or no g++ here")
    folder = tmp_path / "my-scripted"
    settings = ExportSettings(context=("GENE3", "GENE7"), torchscript=True)
    manifest = write_artifact(backbone, folder, settings, Origin())
    (tmp_path / "probe.cpp").write_text(block("cpp"))
    (tmp_path / "CMakeLists.txt").write_text(block("cmake"))
    python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in re.findall(r"^cmake .*$", TEXT, re.MULTILINE):
        subprocess.run(["bash", "-c", line], cwd=tmp_path, env=os.environ | {"PATH": python}, check=True)
    targets = ["GENE9", "GENE3", "GENE50"]
    command = ["build/probe", folder, "GENE7", str(manifest.baseline), "2.5", *targets]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = np.array([[float(word) for word in line.split()[1:]] for line in done.stdout.splitlines()])
    artifact = open_artifact(folder)
    value, gradient = GraphSession(folder / "gdt.onnx", RuntimeSettings("cpu", 1)).run(
        artifact.context,
        artifact.context_values,
        np.array([7]),
        np.array([[manifest.baseline, 2.5]], np.float32),
        np.array([9, 3, 50]),
    )
    np.testing.assert_allclose(found[:, 0], value[0, 1] - value[0, 0], atol=1e-4 * np.abs(value).max())
    np.testing.assert_allclose(found[:, 1], gradient[0, 1], atol=1e-4 * np.abs(gradient).max())
    wrong = subprocess.run([*command[:2], "NOGENE", *command[3:]], cwd=tmp_path, capture_output=True, check=False)
    assert wrong.returncode == 1
