"""The written page: its data, what it says of artifact and run, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ugrn.runtime import InputError, NetworkSettings, load, open_artifact
from ugrn.web.about import limits_html, reliability_bins, reliability_html
from ugrn.web.curves import edges_with_curves
from ugrn.web.edges import lay_out, read_edges
from ugrn.web.report import ReportSettings, write_report

UGRN = str(Path(sys.executable).with_name("ugrn"))


@pytest.fixture(scope="module")
def result(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("result") / "net.parquet"
    load(artifact).network_file(["GENE1", "GENE2", "GENE3"], None, path, NetworkSettings(prior=0.25))
    return path


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_the_page_holds_the_edges_and_their_curves(artifact: Path, result: Path, tmp_path: Path) -> None:
    summary = write_report(result, tmp_path / "r.html", load(artifact), ReportSettings(curves=20))
    data = data_of(tmp_path / "r.html")
    genes = np.array(data["genes"])
    table = pl.DataFrame(
        {
            "source": genes[unpacked(data["source"], "<i4")],
            "target": genes[unpacked(data["target"], "<i4")],
            "probability": unpacked(data["columns"][0]["values"], "<f4"),
        }
    )
    expected = pl.read_parquet(result).sort("probability", descending=True, maintain_order=True)
    assert table.equals(expected)
    assert (summary.edges, summary.curves, summary.notes) == (177, 20, ())
    rows = unpacked(data["curves"]["edges"], "<i4")
    features = load(artifact).features(expected[rows].select("source", "target")).drop("source", "target").to_numpy()
    for probe, columns in (("response", slice(0, 8)), ("gradient", slice(8, 16))):
        found = unpacked(data["curves"][probe]["values"], "<f4").reshape(len(rows), 8)
        np.testing.assert_allclose(found, features[:, columns], rtol=1e-4, atol=1e-5)


def test_curves_go_to_the_strongest_edge_of_each_source_first(result: Path) -> None:
    edges = read_edges(result, 1000)
    usable = np.ones(len(edges), bool)
    table = pl.DataFrame({"source": edges.source, "row": np.arange(len(edges))})
    first = table.group_by("source").agg(pl.col("row").min())["row"].sort().to_list()
    assert edges_with_curves(edges, usable, 3).tolist() == first
    assert edges_with_curves(edges, usable, 2).tolist() == first[:2]
    assert set(edges_with_curves(edges, usable, 30)) == {*first, *(row for row in range(31) if row not in first)} - {30}
    usable[first[0]] = False
    assert first[0] not in edges_with_curves(edges, usable, 200)
    assert len(edges_with_curves(edges, ~usable & False, 5)) == 0


def test_the_layout_places_every_gene_of_its_edges_and_is_the_same_every_time(result: Path) -> None:
    edges = read_edges(result, 1000)
    layout, again = lay_out(edges, 40), lay_out(edges, 40)
    assert sorted(layout.genes) == sorted({*edges.source[:40], *edges.target[:40]})
    assert (layout.x.tobytes(), layout.y.tobytes()) == (again.x.tobytes(), again.y.tobytes())
    assert np.isfinite([layout.x, layout.y]).all()
    assert len({*zip(layout.x, layout.y, strict=True)}) == len(layout.genes)


def test_nothing_but_the_pages_own_scripts_may_run(artifact: Path, result: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    write_report(result, page, load(artifact), ReportSettings(curves=0))
    text = page.read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy.group(1)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy.group(1)) == digests
    assert len(digests) == 2
    assert not re.findall(r"\$[a-z]+\b", text.split("<script", 1)[0].split("</style>", 1)[1])  # all places are filled


def test_a_page_is_the_same_every_time(artifact: Path, result: Path, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(result, tmp_path / name, load(artifact), ReportSettings(curves=5))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_what_is_left_out_is_said(artifact: Path, result: Path, tmp_path: Path) -> None:
    summary = write_report(result, tmp_path / "r.html", load(artifact), ReportSettings(top=50, curves=0))
    assert "50 strongest of 177 edges; 127" in summary.notes[0]
    text = (tmp_path / "r.html").read_text()
    assert "50 strongest of 177 edges; 127" in text
    assert "the stated prior 0.25" in text
    assert "settings: prior" in text


def test_curves_of_another_artifact_are_left_out_unless_asked_for(
    untrained: Path, result: Path, tmp_path: Path
) -> None:
    page = tmp_path / "r.html"
    summary = write_report(result, page, load(untrained))
    assert summary.curves == 0
    assert "--artifact" in summary.notes[0]
    summary = write_report(result, page, load(untrained), ReportSettings(curves=7))
    assert summary.curves == 7
    assert "facts and curves on this page" in summary.notes[0]
    bare = tmp_path / "bare.parquet"
    bare.write_bytes(result.read_bytes())
    summary = write_report(bare, page, load(untrained))
    assert summary.curves == 177
    assert "not recorded" in summary.notes[0]


def test_genes_that_the_artifact_does_not_know_have_no_curves(artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("source,target,probability\nGENE1,GENE2,0.5\nNOPE,GENE2,0.9\nGENE3,GENE3,0.7\n")
    assert write_report(path, tmp_path / "r.html", load(artifact)).curves == 1
    path.write_text("source,target,probability\nNOPE,GENE2,0.9\n")
    assert write_report(path, tmp_path / "r.html", load(artifact)).curves == 0


def test_the_cards_limits_are_shown_as_text(artifact: Path, tmp_path: Path) -> None:
    shown = limits_html(open_artifact(artifact))
    assert shown.count("<li>") == 4
    assert "Not for clinical use." in shown
    assert "<code>--prior</code>" in shown
    opened = open_artifact(artifact)
    card = tmp_path / "MODEL_CARD.md"
    object.__setattr__(opened, "folder", tmp_path)
    card.write_text(
        "# x\n\n## Limits\n\n<script>alert(1)</script> ![i](http://x/y.png) [l](javascript:alert(1))\n\n## More\n\nno"
    )
    assert "<script>" not in limits_html(opened)
    assert "<img" not in limits_html(opened)
    assert 'href="javascript' not in limits_html(opened)
    assert "no</p>" not in limits_html(opened)
    card.write_text("# x\n")
    assert "names no limits" in limits_html(opened)


def test_bins_are_drawn_where_the_artifact_has_them() -> None:
    bins = [{"probability": 0.2, "observed": 0.25, "weight": 0.5}, {"probability": 0.9, "observed": 0.8, "weight": 0.5}]
    scores = {"ece": 0.1, "brier": 0.2}
    calibration = {"kind": "platt", "before": scores | {"bins": bins}, "after": scores | {"bins": bins[:1]}}
    metrics = {"calibration": calibration, "pairs": {"validation_edges": 9}}
    assert reliability_bins(metrics) == {"before": [(0.2, 0.25, 0.5), (0.9, 0.8, 0.5)], "after": [(0.2, 0.25, 0.5)]}
    assert "reliability-chart" in reliability_html(metrics)
    assert list(reliability_bins({"calibration": calibration | {"kind": "none"}})) == ["after"]
    calibration["before"] = calibration["after"] = scores
    assert reliability_bins(metrics) == {}
    assert "does not hold the bins" in reliability_html(metrics)
    assert "0.100" in reliability_html(metrics)
    assert "nothing of its calibration" in reliability_html({})
    calibration["after"] = scores | {"bins": [{"probability": float("nan"), "observed": 1, "weight": 1}]}
    assert reliability_bins(metrics) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{result}", "-o", "r.txt"], "report.html"),
        (["{result}", "-o", "no/r.html"], "mkdir"),
        (["nowhere.csv", "-o", "r.html"], "no such file"),
        (["{result}", "-o", "r.html", "--top", "0"], "top 0"),
        (["{result}", "-o", "r.html", "--network-edges", "2001"], "1 to 2,000"),
        (["{result}", "-o", "r.html", "--curves", "-1"], "curves -1"),
        (["{result}", "-o", "r.html", "--artifact", "nowhere"], "artifact.json"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(
    artifact: Path, result: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    filled = [each.format(result=result) for each in arguments]
    filled += [] if "--artifact" in filled else ["--artifact", str(artifact)]
    done = subprocess.run([UGRN, "report", *filled], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_refused(artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("source,target,probability\nGENE1,GENE2,0.5\n")
    for text in ("{", "[]"):
        (tmp_path / "e.csv.json").write_text(text)
        with pytest.raises(InputError, match="record of a run"):
            write_report(path, tmp_path / "r.html", load(artifact))
    (tmp_path / "e.csv.json").write_text('{"settings": "none", "artifact": 3, "<b>": {"x": []}}')
    write_report(path, tmp_path / "r.html", load(artifact))
    assert "<b>: x" in unescape((tmp_path / "r.html").read_text())


def test_the_command_says_what_it_wrote(artifact: Path, result: Path, tmp_path: Path) -> None:
    command = [UGRN, "report", result, "-o", tmp_path / "r.html", "--artifact", artifact, "--top", "100"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "note: The page holds the 100 strongest of 177 edges" in done.stderr
    assert "100 edges, 100 of them with curves" in done.stderr
    assert done.stdout == ""
