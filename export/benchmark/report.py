"""The benchmark's report as one HTML file that loads nothing: figures, tables and scripts lie inside it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from ugrn.runtime.files.atomic import replace_with

from .plots import png
from .tables import Cell, Grid, cells_of
from .verdicts import LEGEND, TITLE, metadata_grid, sections, verdict

ALTERNATIVES = {
    "auprc_by_method": "AUPRC of every method with its interval, one panel per network",
    "regimes": "AUROC of the methods under four ways of drawing negatives, one panel per network",
    "reliability_diagrams": "Share of edges against predicted probability, one panel per network and data set",
    "known_edges": "Response and gradient of the target over the level of the source, for well-known edges",
}
COLUMNS = (
    *("dataset", "network", "panel", "regime", "group", "method", "kind", "metric"),
    *("value", "low", "high", "edges", "pairs", "sources", "train"),
)


def write_report(
    results: pl.DataFrame,
    metadata: Mapping[str, Any],
    reliability: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Figure | bytes],
    path: Path,
) -> None:
    """Write the report; `path` is the old file or the whole new one, never half.

    Args:
        results: of the benchmark, see `tables`.
        metadata: of the run, by name.
        reliability: rows of dataset, network, method and bins of probability, share and weight.
        curves: rows of source, target, levels, response, gradient_levels and gradient.
        figures: by name, drawn or as PNG; the names of the functions in `plots` get a description of what is seen.
        path: of the HTML file.

    Raises:
        InputError: the results lack a column.
    """
    text = page(results, metadata, reliability, curves, figures)
    replace_with(path, lambda part: part.write_text(text, encoding="utf-8"))


def page(
    results: pl.DataFrame,
    metadata: Mapping[str, Any],
    reliability: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Figure | bytes],
) -> str:
    """The report as HTML; arguments as in `write_report`."""
    parts = [f"<h1>{TITLE}</h1>", f'<p class="verdict">{escape(verdict(results))}</p>', f"<p>{LEGEND}</p>"]
    tables = [(f"table-{index}", section) for index, section in enumerate(sections(results, to_html))]
    links = [f'<li><a href="#{place}">{escape(section.title)}</a></li>' for place, section in tables]
    parts.append(f'<nav><ul>{"".join(links)}<li><a href="#all">All results</a></li></ul></nav>')
    parts += [_figure(name, figure) for name, figure in figures.items()]
    for place, section in tables:
        parts.append(f'<h2 id="{place}">{escape(section.title)}</h2><p>{escape(section.note)}</p>{section.body}')
    parts.append(f'<h2 id="all">All results</h2>{FULL_TABLE}')
    parts.append(f'<script type="application/json" id="data">{_packed(results)}</script>')
    more = (("Numbers of the reliability diagrams", _bins(reliability)), ("Numbers of the curves", _levels(curves)))
    for title, grid in more:
        if grid.rows:
            parts.append(f"<details><summary>{title}</summary>{to_html(grid)}</details>")
    parts.append(f"<h2>How this was made</h2>{to_html(metadata_grid(metadata))}")
    body = f"<main>{''.join(parts)}</main><script>{SCRIPT}</script>"
    return f"{HEAD}<style>{STYLE}</style></head><body>{body}</body></html>\n"


def to_html(grid: Grid) -> str:
    """A grid as an HTML table in a box that scrolls; the first of two names heads a group of rows."""
    if not grid.rows:
        return "<p>No results.</p>"
    grouped = len(grid.rows[0][0]) == 2
    header = grid.header[1:] if grouped else grid.header
    bodies = []
    for group, rows in groupby(grid.rows, key=lambda row: row[0][0]) if grouped else [("", grid.rows)]:
        title = escape(f"{grid.header[0]}: {group}")
        lines = [f'<tr><th scope="rowgroup" colspan="{len(header)}">{title}</th></tr>'] if grouped else []
        lines += [
            f'<tr><th scope="row">{escape(names[-1])}</th>{"".join(map(_cell, cells))}</tr>' for names, cells in rows
        ]
        bodies.append(f"<tbody>{''.join(lines)}</tbody>")
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    return f"{BOX}<table><thead><tr>{columns}</tr></thead>{''.join(bodies)}</table></div>"


def _cell(cell: Cell) -> str:
    texts = [f"<b>{escape(text)}</b>" if best else escape(text) for text, best in cell]
    return f"<td>{' / '.join(texts)}</td>"


def _figure(name: str, figure: Figure | bytes) -> str:
    data = base64.b64encode(figure if isinstance(figure, bytes) else png(figure)).decode("ascii")
    text = escape(ALTERNATIVES.get(name, name))
    image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
    return f"<figure>{BOX}{image}</div><figcaption>{text}.</figcaption></figure>"


def _packed(results: pl.DataFrame) -> str:
    """The results column by column as JSON; names are numbered in alphabetical order, so that numbers sort them."""
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
    return json.dumps(columns, separators=(",", ":")).replace("<", "\\u003c")


def _bins(reliability: Sequence[Mapping[str, Any]]) -> Grid:
    names = ("probability", "share", "weight")
    lines = [
        ((f"{row['network']}, {row['dataset']}", row["method"]), cells_of(*(f"{each[name]:.3f}" for name in names)))
        for row in reliability
        for each in row["bins"]
    ]
    return Grid(("data", "method", *names), tuple(lines))


def _levels(curves: Sequence[Mapping[str, Any]]) -> Grid:
    lines = [
        ((f"{row['source']} → {row['target']}", name), cells_of(f"{level:g}", f"{value:.4g}"))
        for row in curves
        for name, levels in (("response", "levels"), ("gradient", "gradient_levels"))
        for level, value in zip(row[levels], row[name], strict=True)
    ]
    return Grid(("edge", "what", "level of the source", "value"), tuple(lines))


HEAD = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{TITLE}</title>
"""
BOX = '<div class="box" tabindex="0" role="region" aria-label="scrolls sideways">'
FULL_TABLE = f"""<p><label for="filter">Rows with all of these words, or their beginnings:</label>
<input id="filter" type="search" autocomplete="off" placeholder="ensemble degree-aware string 500">
<span id="count" role="status"></span></p><noscript><p>This table needs JavaScript.</p></noscript>
<p>Every row, those of the training data set included. A column's name sorts by it; once more turns the order round.</p>
{BOX}<table id="full"><thead><tr id="heads"></tr></thead><tbody id="rows"></tbody></table></div>
<p><button id="more" type="button">Show more rows</button></p>"""
STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --page: #fff; --soft: #f3f5f7; --line: #d0d7de; --mark: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e3e7eb; --page: #14181d; --soft: #1f252c; --line: #3a434d; --mark: #6cbcf0; }
}
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.25rem; line-height: 1.3; }
p, figcaption { max-width: 46rem; } figure { margin: 2rem 0; } figcaption { font-size: .875rem; }
.verdict { font-size: 1.0625rem; border-left: 4px solid var(--mark); padding-left: 1rem; }
nav ul { columns: 20rem; padding-left: 1.25rem; } a { color: var(--mark); }
.box { overflow: auto; max-height: 85vh; width: fit-content; max-width: 100%; border: 1px solid var(--line);
  border-radius: 6px; }
.box img { display: block; width: 100%; min-width: 44rem; background: #fff; }
table { border-collapse: separate; border-spacing: 0; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
thead th { position: sticky; top: 0; z-index: 2; background: var(--soft); vertical-align: bottom; }
thead th:not(#heads th) { white-space: normal; min-width: 6rem; }
th:first-child, .name { text-align: left; } thead th:first-child { left: 0; z-index: 3; }
tbody th { font-weight: normal; } th[scope=row] { position: sticky; left: 0; background: var(--page); }
th[scope=row], th[scope=rowgroup] { text-align: left; }
th[scope=rowgroup] { background: var(--soft); font-weight: 600; }
#filter, button { font: inherit; color: inherit; background: var(--page); padding: .3rem .6rem;
  border: 1px solid var(--line); border-radius: 4px; }
#filter { width: min(100%, 26rem); box-sizing: border-box; }
#heads button { border: 0; background: none; padding: 0; font-weight: 600; cursor: pointer; }
[aria-sort=ascending] button::after { content: " ▲"; } [aria-sort=descending] button::after { content: " ▼"; }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 1px; }
"""
SCRIPT = """
"use strict";
const at = (id) => document.getElementById(id);
const columns = JSON.parse(at("data").textContent);
const order = columns[0].values.map((_, row) => row);
const text = (column, row) => {
  const value = column.values[row];
  return value === null ? "–" : column.levels ? column.levels[value] : value.toFixed(column.digits);
};
const named = columns.filter((column) => column.levels || column.name === "panel");
const words = order.map((row) => " " + named.map((column) => text(column, row)).join(" ").toLowerCase());
let limit = 100;
function make(tag, content) {
  const made = document.createElement(tag);
  made.append(content);
  return made;
}
function draw() {
  const wanted = at("filter").value.toLowerCase().split(/\\s+/).filter(Boolean);
  const found = order.filter((row) => wanted.every((word) => words[row].includes(" " + word)));
  at("rows").replaceChildren(...found.slice(0, limit).map((row) => {
    const line = document.createElement("tr");
    for (const column of columns) {
      const cell = make("td", text(column, row));
      if (column.levels) cell.className = "name";
      line.append(cell);
    }
    return line;
  }));
  at("count").textContent = `${Math.min(limit, found.length)} of ${found.length} rows shown`;
  at("more").hidden = found.length <= limit;
}
for (const column of columns) {
  const button = make("button", column.name);
  const head = make("th", button);
  button.type = "button";
  if (column.levels) head.className = "name";
  head.scope = "col";
  button.addEventListener("click", () => {
    const before = head.getAttribute("aria-sort");
    const up = before ? before === "descending" : Boolean(column.levels);
    for (const each of at("heads").children) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    order.sort((a, b) => {
      const [x, y] = [column.values[a], column.values[b]];
      if (x === y) return a - b;
      return x === null ? 1 : y === null ? -1 : up ? x - y : y - x;
    });
    draw();
  });
  at("heads").append(head);
}
at("filter").addEventListener("input", () => { limit = 100; draw(); });
at("more").addEventListener("click", () => { limit += 1000; draw(); });
draw();
"""
