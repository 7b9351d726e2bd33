"""Reference pages against the code: fields, files, errors, messages, links."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from ugrn.export.autodiff.dual import UnsupportedFunctionError
from ugrn.export.graph.parity import ParityError
from ugrn.runtime import errors
from ugrn.runtime.artifact.manifest import FORMAT, MANIFEST, OPTIONAL, READOUTS, REQUIRED, BackboneShape, Manifest
from ugrn.runtime.engine.units import CONVERSIONS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def rows(document: str, heading: str) -> list[list[str]]:
    """Cells of the tables between a heading and the next one, without their heads."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if "`" in line]


def test_the_manifests_fields_are_all_there_and_no_others() -> None:
    declared = [(f"`{each.name}`", each.type) for kind in (Manifest, BackboneShape) for each in fields(kind)]
    listed = [(row[0], row[1]) for row in rows("artifact-format.md", "The manifest")]
    assert listed == declared
    text = (ROOT / "docs" / "artifact-format.md").read_text(encoding="utf-8")
    assert text.startswith(f"# Artifact format {FORMAT}\n")
    of = {row[0]: row[2] for row in rows("artifact-format.md", "The manifest")}
    assert re.findall("`(.*?)`", of["`readout`"]) == list(READOUTS)
    assert set(re.findall("`(.*?)`", of["`scale`"])) == {"units", *CONVERSIONS}


def test_the_files_are_all_there_and_no_others() -> None:
    listed = {row[0].strip("`"): row[1] for row in rows("artifact-format.md", "Files")}
    assert set(listed) == REQUIRED | OPTIONAL | {MANIFEST}
    assert {name for name, what in listed.items() if what.endswith("; required")} == set(REQUIRED)


def test_the_errors_are_all_there_and_no_others() -> None:
    ours = [each for each in vars(errors).values() if isinstance(each, type)]
    declared = {
        f"`{each.__name__}`": ", ".join(f"`{base.__name__}`" for base in each.__bases__)
        for each in (*ours, ParityError, UnsupportedFunctionError)
    }
    assert {row[0]: row[1] for row in rows("errors.md", "Classes")} == declared


def spoken() -> list[str]:
    """Every text of the code, with … for what is filled in."""
    found = []
    for path in (path for room in ("runtime", "cli", "export") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
    return found


def test_the_messages_are_what_the_code_says() -> None:
    texts = spoken()
    for row in rows("errors.md", "Common messages"):
        message = row[0].strip("`").removesuffix("…")
        assert any(message in text for text in texts), message


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.is_file(), target
        if anchor:
            headings = re.findall("^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            plain = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in plain, target


def test_the_walks_lead_through_modules_that_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    walks = text.partition("## Three walks")[2].partition("## Three decisions")[0]
    named = {
        name
        for row in re.findall(r"^\| \w[^|]*\| (.*?) \|", walks, re.MULTILINE)
        for name in re.findall("`(.*?)`", row)
    }
    assert len(named) > 15
    for name in named:
        path = name.removeprefix("runtime.").replace(".", "/")
        found = [ROOT / room / f"{path}{end}" for room in ("runtime", "export") for end in (".py", "/__init__.py")]
        assert any(each.is_file() for each in found), name
