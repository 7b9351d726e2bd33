"""Every command and every Python example of the documents and of ``--help``, run on small inputs.

What cannot be run here is listed with the reason; a command that is neither run nor listed fails.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from ugrn.cli.main import COMMANDS, app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("ugrn", "make", "pip", "python", "hf", "docker", "cmake", "build/probe")
NOT_RUN = {
    "make demo": "makes an environment; tests/test_wheel.py installs the same and scores with it",
    "make test": "is what runs this test",
    "pip install": "changes the environment; tests/test_wheel.py and tests/docs/test_deploying.py install elsewhere",
    "docker build": "needs a container engine; tests/docs/test_deploying.py runs the file's pip lines",
    "docker run": "needs a container engine",
    "hf upload": "needs an account of a model hub",
    "cmake -S": "compiles for a minute; tests/docs/test_deploying.py runs it",
    "cmake --build": "as above",
    "build/probe": "as above",
    "ugrn benchmark": "needs real networks; tests/export/benchmark/test_benchmark.py runs it on a small folder",
    "python -m bench.grnformer": "needs the tasks' data; tests/bench/grnformer/test_evaluation.py runs it",
}
SMALL = {  # what is added so that the command ends within seconds
    "ugrn pretrain": "--steps 2 --width 16 --layers 1 --heads 2 --gene-embeddings embeddings.parquet",
    "ugrn network -o net.parquet --top-k 20": "--artifact my-artifact",
    "ugrn adapt": "--steps 2",
}


def commands(text: str) -> Iterator[str]:
    """The commands of a Markdown text: lines of ``sh`` blocks, and indented lines that begin with a program."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line)
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (line.strip() for line in re.findall(r"^    (\S.*)$", outside, re.MULTILINE) if _program(line))


def _program(line: str) -> bool:
    return line.split()[0] in PROGRAMS


def examples() -> Iterator[str]:
    """The commands that ``--help`` shows."""
    for module in COMMANDS.values():
        verbs = module.command.registered_commands if isinstance(module.command, Typer) else []
        for text in [verb.callback.__doc__ for verb in verbs] or [module.HELP]:
            found = [line.strip() for line in re.findall(r"^ *(?:Example: )?((?:ugrn|cut) .*)$", text, re.MULTILINE)]
            assert found, text
            yield from found


def reason_not_to_run(command: str) -> str:
    return next((reason for start, reason in NOT_RUN.items() if command.startswith(start)), "")


@pytest.fixture(scope="module")
def work(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the inputs to work in."""
    return Path(shutil.copytree(inputs, tmp_path_factory.mktemp("docs") / "work"))


@pytest.fixture(scope="module")
def ran() -> set[str]:
    """Commands that were run already: what documents share is run once."""
    return set()


@pytest.fixture
def run(work: Path, ran: set[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Runs a command of ugrn as it stands; the folder that it makes anew is taken away first."""
    monkeypatch.chdir(work)
    monkeypatch.setenv("UGRN_HOME", str(work / "home"))
    monkeypatch.setenv("UGRN_OFFLINE", "1")

    def once(command: str) -> None:
        if command in ran:
            return
        ran.add(command)
        if re.search(" [|>] ", command):
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            subprocess.run(["bash", "-o", "pipefail", "-c", command], env=os.environ | {"PATH": path}, check=True)
            return
        words = shlex.split(command, comments=True)
        words += shlex.split(next((more for start, more in SMALL.items() if command.startswith(start)), ""))
        if words[1] in ("export", "pretrain", "train", "adapt") and "-o" in words:
            shutil.rmtree(words[words.index("-o") + 1], ignore_errors=True)
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, f"{command}: {done.exception!r} {done.output}"

    return once


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_commands(document: Path, run: Callable[[str], None]) -> None:
    for command in commands(document.read_text(encoding="utf-8")):
        if not reason_not_to_run(command):
            assert "ugrn " in command, f"{document.name}: {command!r} is neither run nor listed in NOT_RUN"
            run(command)


@pytest.mark.slow
def test_examples_of_help(run: Callable[[str], None]) -> None:
    for command in examples():
        if not reason_not_to_run(command):
            run(command)


def test_what_is_not_run_is_in_the_documents() -> None:
    texts = [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    found = [*examples(), *(command for text in texts for command in commands(text))]
    for start in (*NOT_RUN, *SMALL):
        assert any(command.startswith(start) for command in found), start
    assert sum(not reason_not_to_run(command) for command in found) > 40


def test_every_command_is_in_an_example() -> None:
    assert {shlex.split(command.rpartition("| ugrn ")[2].removeprefix("ugrn "))[0] for command in examples()} == set(
        COMMANDS
    )


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_python_examples(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        names: dict[str, object] = {"__name__": "example"}
        exec(compile(code, document.name, "exec"), names)
        if "class MyModel" in code:
            assert len(code.splitlines()) < 60
            assert (tmp_path / "my-artifact" / "gdt.onnx").is_file()
