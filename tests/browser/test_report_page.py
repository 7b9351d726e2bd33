"""The report as its reader uses it, in headless Chromium."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ugrn.runtime import load
from ugrn.web.report import write_report

Page = Any
Visit = Callable[..., Any]
Made = tuple[Path, pl.DataFrame]

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>window.hacked=1</script>",
    '=HYPERLINK("x")',
    "@SUM(A1)",
    "-1+2",
    "comma, name",
    'quote " name',
    "two\nlines",
    "<b>bold</b>",
    "&lt;",
    "$title ${data}",
    "__proto__",
    "constructor",
    "Å-ß-基因-🙂",
    "x" * 90,
]


def shown_rows(page: Page) -> list[list[str]]:
    """The table's cells but the last, which holds a button."""
    rows = "rows => rows.map(row => [...row.cells].slice(0, -1).map(cell => cell.textContent))"
    return page.locator("#rows tr").evaluate_all(rows)


def export(page: Page) -> tuple[str, list[list[str]]]:
    with page.expect_download() as caught:
        page.click("#export")
    text = Path(caught.value.path()).read_text(encoding="utf-8")
    return caught.value.suggested_filename, list(csv.reader(io.StringIO(text)))


def same_edges(rows: list[list[str]], table: pl.DataFrame) -> None:
    """Exported rows are those of a table, every number to its last bit."""
    assert rows[0] == table.columns
    assert [row[:2] for row in rows[1:]] == [list(row) for row in table.select("source", "target").iter_rows()]
    numbers = np.array([row[2:] for row in rows[1:]], np.float64).astype(np.float32)
    np.testing.assert_array_equal(numbers, table.drop("source", "target").to_numpy())


def four(values: pl.Series) -> list[str]:
    return [f"{value:.4f}" for value in values]


def test_searching_a_gene_shows_its_targets_and_regulators(visit: Visit, small: Made) -> None:
    path, edges = small
    page = visit(path)
    page.fill("#search", "pou")
    assert page.locator("#matches li").first.inner_text().split()[0] == "POU5F1"
    assert page.locator("#search").get_attribute("aria-expanded") == "true"
    page.locator("#matches li", has_text="POU5F1").click()
    for side, near, far in (("targets", "source", "target"), ("regulators", "target", "source")):
        expected = edges.filter(pl.col(near) == "POU5F1").head(12)
        assert page.locator(f"#{side} .name").all_inner_texts() == expected[far].to_list()
        assert page.locator(f"#{side} .value").all_inner_texts() == four(expected["probability"])
    assert page.inner_text("#found") == "POU5F1: 59 targets, 9 regulators"
    page.fill("#search", "no such gene")
    assert "No gene of this page" in page.inner_text("#found")


def test_clicking_an_edge_shows_its_curves(visit: Visit, small: Made) -> None:
    path, _ = small
    page = visit(path)
    page.locator("#targets button").nth(3).click()
    source, target = page.inner_text("#edge-title").split(" → ")
    assert page.locator("#targets button").nth(3).get_attribute("aria-pressed") == "true"
    features = load().features([(source, target)]).drop("source", "target").to_numpy()[0]
    manifest = load().artifact.manifest
    for probe, levels, values in (
        ("response", manifest.vvp_levels, features[:8]),
        ("gradient", manifest.gdt_levels, features[8:]),
    ):
        drawn = page.evaluate(f"document.getElementById('{probe}').data[0]")
        points = dict(zip(drawn["x"], drawn["y"], strict=True))
        np.testing.assert_allclose([points[level] for level in levels], values, rtol=1e-3, atol=1e-5)
        assert list(points) == sorted(points)
        assert page.locator(f"#{probe} .scatterlayer path.point").count() == len(points)
        assert f"level {drawn['x'][0]}" in page.locator(f"#{probe}").get_attribute("aria-label")
    page.click("summary")
    assert page.locator("#numbers td").count() == 2 * (9 + 8)


def test_the_table_sorts_and_filters_and_exports_what_it_shows(visit: Visit, small: Made) -> None:
    path, edges = small
    page = visit(path)
    assert page.inner_text("#count") == "590 edges"
    assert [row[2] for row in shown_rows(page)] == four(edges["probability"].head(25))
    page.click("#heads button:text-is('target')")
    assert page.locator("#heads th").nth(1).get_attribute("aria-sort") == "ascending"
    assert page.locator("[aria-sort]").count() == 1
    by_name = edges.with_columns(pl.col("target").str.to_lowercase().alias("key"))
    expected = by_name.sort("key", maintain_order=True)
    assert [row[:2] for row in shown_rows(page)] == [list(row[:2]) for row in expected.head(25).iter_rows()]
    page.fill("#by-source", "=sox2")
    page.fill("#by-target", "p")
    page.fill("#by-probability", "0.2")
    kept = (pl.col("source") == "SOX2") & pl.col("target").str.contains("P") & (pl.col("probability") >= 0.2)
    expected = expected.filter(kept).drop("key")
    assert 0 < len(expected) < 15
    assert page.inner_text("#count") == f"{len(expected)} of 590 edges"
    name, rows = export(page)
    assert name == "net-selection.csv"
    same_edges(rows, expected)
    page.click("#heads button:text-is('target')")
    assert page.locator("#heads th").nth(1).get_attribute("aria-sort") == "descending"
    page.click("#clear")
    assert page.inner_text("#count") == "590 edges"
    page.click("#last")
    assert page.inner_text("#page") == "Page 24 of 24"
    assert page.locator("#next").is_disabled()
    assert len(shown_rows(page)) == 590 - 23 * 25
    page.locator("#rows button:text-is('Show')").last.click()
    assert page.inner_text("#edge-title") == " → ".join(shown_rows(page)[-1][:2])


def test_all_edges_of_a_gene_are_listed_in_the_table(visit: Visit, small: Made) -> None:
    path, edges = small
    page = visit(path)
    page.click("#targets-all")
    gene = page.inner_text("#edge-title").split(" → ")[0]
    assert page.input_value("#by-source") == f"={gene}"
    assert page.inner_text("#count") == "59 of 590 edges"
    page.locator("#rows .link").nth(1).click()
    assert page.inner_text("#targets-title") == f"Top targets of {shown_rows(page)[0][1]}"


@pytest.mark.parametrize("count", [1, 500, 2000])
def test_the_network_shows_as_many_edges_as_asked_for(visit: Visit, large: Made, count: int) -> None:
    path, edges = large
    page = visit(path)
    assert page.locator("#shown").get_attribute("max") == "2000"
    page.fill("#shown-number", str(count))
    page.press("#shown-number", "Enter")
    strongest = edges.head(count)
    genes = pl.concat([strongest["source"], strongest["target"]])
    assert page.locator("#graph .scatterlayer path.point").count() == genes.n_unique()
    drawn = page.evaluate("document.getElementById('graph').data.slice(0, 3).map(t => t.x.length / 3)")
    assert sum(drawn) == count
    assert page.locator("#hubs button").first.inner_text().split()[1] == str(genes.value_counts()["count"].max())
    labels = page.locator("#graph .annotation-text").evaluate_all(
        "all => all.map(each => { const r = each.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; })"
    )
    overlaps = [
        (a, b)
        for place, a in enumerate(labels)
        for b in labels[:place]
        if min(a[2], b[2]) - max(a[0], b[0]) > 2 and min(a[3], b[3]) - max(a[1], b[1]) > 2
    ]
    assert labels
    assert not overlaps


def test_a_gene_is_chosen_in_the_network(visit: Visit, large: Made) -> None:
    path, edges = large
    page = visit(path)
    page.locator("#hubs button").nth(2).click()
    gene = page.locator("#hubs button").nth(2).inner_text().split()[0]
    strongest = edges.head(300).filter((pl.col("source") == gene) | (pl.col("target") == gene))
    others = set(strongest["source"]) | set(strongest["target"])
    assert f"{gene} has {len(others) - 1} neighbours here" in page.inner_text("#network-facts")
    before = page.evaluate("document.getElementById('graph').layout.xaxis.range")
    page.click("#zoom-in")
    after = page.evaluate("document.getElementById('graph').layout.xaxis.range")
    assert after[1] - after[0] == pytest.approx((before[1] - before[0]) / 1.5)
    page.click("#zoom-all")
    assert "neighbour" not in page.inner_text("#network-facts")
    point = page.evaluate(
        """() => { const g = document.getElementById("graph"), box = g.getBoundingClientRect(), t = g.data[3];
        const last = t.x.length - 2, x = g.layout.xaxis.range, y = g.layout.yaxis.range;
        g.scrollIntoView({ behavior: "instant" }); const top = g.getBoundingClientRect().top;
        return [box.left + (t.x[last] - x[0]) / (x[1] - x[0]) * box.width,
          top + (y[1] - t.y[last]) / (y[1] - y[0]) * box.height, genes[t.customdata[last]]]; }"""
    )
    page.mouse.move(point[0], point[1])
    page.wait_for_selector("#graph .hovertext")
    assert point[2] in page.locator("#graph .hovertext").text_content()
    page.mouse.click(point[0], point[1])
    page.wait_for_function("name => document.getElementById('targets-title').textContent.endsWith(name)", arg=point[2])


def test_fifty_thousand_edges_are_searched_sorted_filtered_and_exported(visit: Visit, large: Made) -> None:
    path, edges = large
    page = visit(path)
    assert page.inner_text("#count") == "50,000 edges"
    assert page.is_hidden("#curves")
    assert page.is_visible("#no-curves")
    page.fill("#search", "t01")
    page.press("#search", "Enter")
    assert page.inner_text("#regulators-title").startswith("Top regulators of T01")
    page.click("#heads button:text-is('logit_vvp')")
    page.click("#last")
    ordered = edges.sort("logit_vvp", descending=True, maintain_order=True)
    assert [row[3] for row in shown_rows(page)] == four(ordered["logit_vvp"].tail(25))
    page.select_option("#size", "500")
    assert len(shown_rows(page)) == 500
    same_edges(export(page)[1], ordered)
    page.fill("#by-source", "tf00")
    expected = ordered.filter(pl.col("source").str.contains("TF00"))
    assert page.inner_text("#count") == f"{len(expected):,} of 50,000 edges"
    same_edges(export(page)[1], expected)


def test_hostile_gene_names_are_text_everywhere(visit: Visit, tmp_path: Path) -> None:
    edges = pl.DataFrame(
        {
            "source": HOSTILE,
            "target": [*HOSTILE[1:], HOSTILE[0]],
            "probability": np.linspace(0.9, 0.1, len(HOSTILE)).astype(np.float32),
        }
    )
    result = tmp_path / "<b>&amp;.parquet"
    edges.write_parquet(result)
    write_report(result, tmp_path / "r.html", load())
    page = visit(tmp_path / "r.html")
    assert page.inner_text("h1").endswith("<b>&amp;.parquet")
    assert page.locator("img").count() == 0
    for name in (name for name in HOSTILE if "\n" not in name):  # which a search box cannot hold
        page.fill("#search", name)
        page.press("#search", "Enter")
        assert page.text_content("#targets-title") == f"Top targets of {name}"
        labels = page.locator("#graph .annotation-text").evaluate_all("all => all.map(each => each.textContent)")
        assert name in labels
    assert [row[:2] for row in shown_rows(page)] == [list(row[:2]) for row in edges.iter_rows()]
    _, rows = export(page)
    guarded = {name: f"'{name}" if name[0] in "=+-@" else name for name in HOSTILE}
    assert [row[0] for row in rows[1:]] == [guarded[name] for name in HOSTILE]
    assert page.evaluate("window.hacked") is None


def test_everything_is_reached_by_keyboard(visit: Visit, small: Made) -> None:
    path, edges = small
    page = visit(path)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "search"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("g")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    second = page.locator("#matches li").nth(1)
    assert second.get_attribute("aria-selected") == "true"
    assert page.locator("#search").get_attribute("aria-activedescendant") == second.get_attribute("id")
    page.keyboard.type("ata1")
    page.keyboard.press("Enter")
    assert page.inner_text("#targets-title") == "Top targets of GATA1"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expected = edges.filter(pl.col("source") == "GATA1")
    assert page.inner_text("#edge-title") == f"GATA1 → {expected['target'][1]}"
    page.keyboard.press("Escape")
    page.focus("#heads button")
    page.keyboard.press("Space")
    assert page.locator("#heads th").first.get_attribute("aria-sort") == "ascending"
    page.focus("#shown")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#shown-number") == "81"
    unreachable = """() => [...document.querySelectorAll("button, input, select, summary, a[href]")]
        .filter(each => each.tabIndex < 0).length"""
    assert page.evaluate(unreachable) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_have_contrast_and_can_be_switched(visit: Visit, small: Made, scheme: str) -> None:
    page = visit(small[0], color_scheme=scheme)

    def rgb(name: str) -> list[float]:
        return [float(part) for part in re.findall(r"[\d.]+", page.evaluate(f"colour('{name}')"))[:3]]

    def contrast(one: str, other: str) -> float:
        def luminance(colour: list[float]) -> float:
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

        low, high = sorted((luminance(rgb(one)), luminance(rgb(other))))
        return (high + 0.05) / (low + 0.05)

    for _ in range(2):
        dark = sum(rgb("page")) < 3 * 128
        assert dark == (scheme == "dark")
        for text in ("text", "quiet", "accent"):
            assert min(contrast(text, "page"), contrast(text, "soft")) >= 4.5, text
        for graphic in ("response", "gradient", "chosen", "regulator", "node"):
            assert contrast(graphic, "page") >= 3, graphic
        drawn = page.evaluate("document.getElementById('response').layout.font.color")
        assert drawn == page.evaluate("colour('text')")
        scheme = "light" if dark else "dark"
        page.select_option("#theme", scheme)


def test_a_phone_scrolls_down_and_never_sideways(visit: Visit, small: Made) -> None:
    page = visit(small[0], viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.locator("#regulators button").first.tap()
    title = page.locator("#edge-title").bounding_box()
    assert title is not None
    page.evaluate("document.getElementById('graph').scrollIntoView({ behavior: 'instant', block: 'center' })")
    before = page.evaluate("scrollY")
    finger = page.context.new_cdp_session(page)
    for kind, y in (("touchStart", 400), *(("touchMove", y) for y in range(380, 180, -20)), ("touchEnd", None)):
        points = [] if y is None else [{"x": 180, "y": y}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_function("before => scrollY > before + 100", arg=before)
    clipped = """() => [...document.querySelectorAll("main *")]
        .filter(each => !each.closest(".box, #graph, .chart") && each.getClientRects().length)
        .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
        .map(each => each.outerHTML.slice(0, 80))"""
    assert page.evaluate(clipped) == []
