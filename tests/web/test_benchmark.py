"""The page of a benchmark: whole, well-formed, loading nothing, and safe against hostile names."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ugrn.export.benchmark import report, verdicts
from ugrn.web.benchmark import write_benchmark_page

VOID = {"meta", "link", "img", "input", "br"}
SEEN = "AUROC under four ways"
HOSTILE = "<script>alert(1)</script>\"'&<!--"


class Reader(HTMLParser):
    """Notes tags that do not close, attributes that load something, and text by tag."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.text: list[tuple[str, str]] = []
        self.alternatives: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset", "data")]
        if tag == "img":
            self.alternatives.append(dict(attrs).get("alt"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append((self.open[-1] if self.open else "", data))


def results(method: str = "VVP", dataset: str = "mDC") -> pl.DataFrame:
    usual = {"train": "hESC/string", "network": "string", "panel": 500, "regime": "degree-aware", "metric": "AUPRC"}
    rows: list[dict[str, Any]] = []
    for name, kind, value in ((method, "paper", 0.6), ("Ensemble", "paper", 0.7), ("text cosine", "control", 0.5)):
        for group in ("all", "both unseen"):
            own = {"dataset": dataset, "group": group, "method": name, "kind": kind, "value": value}
            rows.append(
                usual | own | {"low": value - 0.05, "high": value + 0.05, "edges": 7, "pairs": 14, "sources": 3}
            )
    rows.append(rows[0] | {"metric": "ECE", "value": float("nan"), "low": None, "high": None})
    return pl.DataFrame(rows, infer_schema_length=None)


def written(folder: Path, frame: pl.DataFrame, name: str = "VVP") -> tuple[str, Reader]:
    bins = [{"probability": 0.25, "share": 0.125, "weight": 1.0}]
    reliability = [{"dataset": name, "network": "string", "method": name, "bins": bins}]
    curve = {"levels": [1], "response": [0.5], "gradient_levels": [2], "gradient": [0.75]}
    write_benchmark_page(
        report.markdown(frame, {"artifact": name, "home": "https://example.org"}),
        {SEEN: b"\x89PNG", name: b"\x89PNG"},
        {
            "Numbers of the reliability diagrams": report.bins_table(reliability),
            "Numbers of the curves": report.curves_table([{"source": name, "target": "B"} | curve]),
        },
        frame,
        folder / "report.html",
    )
    text = (folder / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    return text, reader


def test_the_page_is_well_formed_and_loads_nothing(tmp_path: Path) -> None:
    text, reader = written(tmp_path, results())
    assert reader.open == []
    assert all(load.startswith(("data:image/png;base64,", "#")) or load == "data:," for load in reader.loads)
    assert not re.search(
        r"@import|url\(|fetch\(|XMLHttpRequest|import\(|//[a-z]", text.replace("https://example.org", "")
    )
    assert "default-src 'none'" in text
    assert reader.alternatives == [SEEN, "VVP"]
    ids = re.findall(r'id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {load[1:] for load in reader.loads if load.startswith("#")} <= set(ids)


def test_it_says_what_the_markdown_says(tmp_path: Path) -> None:
    _, reader = written(tmp_path, results())
    shown = [data for _, data in reader.text]
    assert verdicts.verdict(results()) in shown
    dense = re.sub(r"\s", "", "".join(shown))
    for section in report.sections(results()):
        assert section.title in shown
        assert section.note in shown
        for line in section.body.splitlines()[2:]:
            for cell in line.strip("|").split("|")[2:]:
                assert re.sub(r"\s|\*", "", cell) in dense
    assert ("strong", "0.700") in reader.text
    for number in ("0.125", "0.75", "https://example.org"):
        assert number in shown


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    text, reader = written(tmp_path, results(HOSTILE, HOSTILE), HOSTILE)
    assert "alert(1)</script>" not in text
    assert reader.open == []
    assert reader.tags.count("script") == 2
    assert HOSTILE in "".join(data for tag, data in reader.text if tag in ("th", "td"))
    assert reader.alternatives[1] == HOSTILE


def test_all_results_lie_in_the_page(tmp_path: Path) -> None:
    text, _ = written(tmp_path, results(HOSTILE))
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    columns = {column["name"]: column for column in json.loads(found)}
    for name, column in columns.items():
        values = column["values"]
        if "levels" in column:
            assert column["levels"] == sorted(column["levels"])
            values = [column["levels"][value] for value in values]
        expected = results(HOSTILE)[name]
        if expected.dtype.is_float():
            expected = expected.fill_nan(None).round(4)
        assert values == expected.to_list()
    assert set(columns) == set(results().columns)


def test_a_failed_page_leaves_the_old_one(tmp_path: Path) -> None:
    old, _ = written(tmp_path, results())
    with pytest.raises(UnicodeEncodeError):
        write_benchmark_page("# a title\n\n\ud800", {}, {}, results(), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == old
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_without_results_the_page_says_so(tmp_path: Path) -> None:
    frame = results().clear()
    write_benchmark_page(report.markdown(frame, {}), {}, {}, frame, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No verdict" in text
    assert "<details>" not in text


def test_only_the_pages_own_script_may_run(tmp_path: Path) -> None:
    text, _ = written(tmp_path, results())
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[0]
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(digests) == 1
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert "unsafe-inline" not in policy.split("script-src")[1]
