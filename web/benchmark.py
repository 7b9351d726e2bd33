"""The page of a benchmark: its report and figures, and all its results to filter and sort."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from ugrn.runtime.files.atomic import replace_with

from .document import document, markdown_parser, page_text

COLUMNS = (
    *("dataset", "network", "panel", "regime", "group", "method", "kind", "metric"),
    *("value", "low", "high", "edges", "pairs", "sources", "train"),
)
BOX = '<div class="box" tabindex="0" role="region" aria-label="scrolls sideways">'


def write_benchmark_page(
    markdown: str, images: Mapping[str, bytes], numbers: Mapping[str, str], results: pl.DataFrame, output: Path
) -> None:
    """Write the page; `output` is the old file or the whole new one, never half.

    Args:
        markdown: the report: a title, an introduction, and sections of level 2.
        images: PNG by what is seen in it.
        numbers: further tables in Markdown, by title, shown when asked for.
        results: one row per value; `COLUMNS` that it has are shown.
        output: the HTML file.
    """
    parser = markdown_parser().disable(["link", "autolink", "backticks"])  # names are names
    parser.add_render_rule("table_open", lambda self, tokens, index, options, env: f"{BOX}<table>")
    parser.add_render_rule("table_close", lambda self, tokens, index, options, env: "</table></div>\n")
    tokens = parser.parse(markdown)
    titles = [place for place, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"]
    for number, place in enumerate(titles):
        tokens[place].attrSet("id", f"section-{number}")
    links = (f'<a href="#section-{number}">{escape(tokens[p + 1].content)}</a>' for number, p in enumerate(titles))
    begin = titles[0] if titles else len(tokens)
    introduction, sections = (
        str(parser.renderer.render(part, parser.options, {})) for part in (tokens[:begin], tokens[begin:])
    )
    more = (
        f"<details><summary>{escape(title)}</summary>{parser.render(table)}</details>"
        for title, table in numbers.items()
    )
    text = document(
        "benchmark.html",
        ["page.css", "benchmark.css"],
        [page_text("elements.js", "benchmark.js")],
        _columns(results),
        introduction=introduction,
        links=" ".join(links),
        figures="\n".join(_figure(seen, png) for seen, png in images.items()),
        sections=sections,
        numbers="\n".join(more),
    )
    replace_with(output, lambda part: part.write_text(text, encoding="utf-8"))


def _figure(seen: str, png: bytes) -> str:
    image = f'<img alt="{escape(seen)}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'
    return f"<figure>{BOX}{image}</div><figcaption>{escape(seen)}.</figcaption></figure>"


def _columns(results: pl.DataFrame) -> list[dict[str, Any]]:
    """The results column by column; names are numbered in alphabetical order, so that numbers sort them."""
    columns: list[dict[str, Any]] = []
    for name in [each for each in COLUMNS if each in results.columns]:
        values = results[name]
        if values.dtype == pl.String:
            levels = sorted(set(values.drop_nulls()))
            places = {level: place for place, level in enumerate(levels)}
            columns.append({"name": name, "levels": levels, "values": [places.get(value) for value in values]})
        elif values.dtype.is_float():
            finite = [round(value, 4) if value is not None and math.isfinite(value) else None for value in values]
            columns.append({"name": name, "digits": 4, "values": finite})
        else:
            columns.append({"name": name, "digits": 0, "values": values.to_list()})
    return columns
