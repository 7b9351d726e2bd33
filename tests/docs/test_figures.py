"""Figures that documents repeat, against the tables they are from."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20 / 1e6


def table(document: str, heading: str) -> list[list[str]]:
    """Cells of a section's rows, without its head."""
    text = (ROOT / document).read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" *`") for cell in row] for row in rows[2:]]


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def test_the_commands_times_are_those_that_were_measured() -> None:
    measured = {number(row[2]): (number(row[3]), number(row[6])) for row in table("bench/SPEED.md", "Commands")}
    listed = {number(row[1]): (row[3], row[4]) for row in table("README.md", "How fast")}
    assert listed.keys() == measured.keys()
    for pairs, (seconds, memory) in listed.items():
        assert abs(number(seconds) - measured[pairs][0]) <= (0.05 if "." in seconds else 0.5), pairs
        assert abs(number(memory.removesuffix(" MB")) - MIB * measured[pairs][1]) < 1, pairs


def test_the_faqs_largest_network_is_the_readmes() -> None:
    said = re.search(r"(\d+) million pairs, took (\d+) s within (\d+) MB", (ROOT / "docs" / "faq.md").read_text())
    assert said is not None
    _, pairs, _, seconds, memory = table("README.md", "How fast")[-1]
    assert [float(each) for each in said.groups()] == [
        number(pairs) // 1e6,
        number(seconds),
        number(memory.removesuffix(" MB")),
    ]
