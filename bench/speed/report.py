"""Results as Markdown: the machine, the goals, one table per section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .goals import verdicts

Row = Mapping[str, Any]


def markdown(results: dict[str, Any]) -> str:
    """The whole page."""
    parts = ["# Speed", _intro(results), "## Goals", "\n".join(f"- {line}" for line in verdicts(results))]
    sections = {
        "latency": _latency,
        "sides": _sides,
        "limit": _limit,
        "throughput": _throughput,
        "growth": _growth,
        "commands": _commands,
        "peers": _peers,
    }
    parts += [write(results[name]) for name, write in sections.items() if results.get(name)]
    notes = results.get("notes", [])
    return "\n\n".join(part for part in [*parts, "\n".join(notes)] if part) + "\n"


def table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """Rows as a Markdown table; `columns` maps headings to format strings of the row."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(text.format(**row) for text in columns.values()) + " |" for row in rows]
    return "\n".join(lines)


def _intro(results: dict[str, Any]) -> str:
    quick = "**A quick run with tiny sizes: its figures say nothing.**\n\n" if results["quick"] else ""
    machine = "\n".join(f"- {name}: {value}" for name, value in results["machine"].items())
    return (
        f"{quick}Written by `{results['command']}` on {results['date']}. Medians; compare ratios, not seconds: other "
        f"work on the machine moves both sides of a ratio.\n\n{machine}"
    )


def _latency(rows: Sequence[Row]) -> str:
    columns = {"what": "{name}", "rounds": "{rounds}", "p50, ms": "**{p50_ms:.1f}**", "p95, ms": "{p95_ms:.1f}"}
    return "## Latency\n\nThe bundled artifact; `pytest bench/speed/test_latency.py`.\n\n" + table(rows, columns)


def _sides(rows: Sequence[Row]) -> str:
    names = {
        "paper": "reverse mode, forward and backward per pair and level (extrapolated)",
        "paper, forward shared": "reverse mode, forward shared by the targets of a level (extrapolated)",
        "jvp": "torch.func.jvp of the plain forward pass, eager torch",
        "dual": "our module in eager torch",
        "plain": "the plain forward pass with tangent rules, onnxruntime",
        "ours": "**ours**",
    }
    parts = ["## Side by side"]
    for row in rows:
        batch = row["sources_per_batch"]
        lines = [
            {"way": name, "s": row["seconds_per_source"][way], "r": row["ratios"][way], "b": batch.get(way, "-")}
            for way, name in names.items()
        ]
        parts += [
            f"{row['model']}: {row['context']} context genes, {row['targets']:,} targets per source. Forward mode "
            f"gives value and gradient at {_levels(row['levels'])}; the plain forward pass with tangent rules gives "
            "both at all of them, and reverse mode the gradient at its 8 levels. "
            f"Same weights and inputs, in turns; largest deviation from torch.func.jvp "
            f"{max(row['deviations'].values()):.0e} of the largest value. Reverse mode is extrapolated from one pair "
            f"at one level: {row['reverse_pass_s']:.4f} s, of which the backward pass {row['backward_alone_s']:.4f} s.",
            table(
                lines,
                {
                    "way": "{way}",
                    "sources per batch": "{b}",
                    "seconds per source": "{s:,.4f}",
                    "times ours": "**{r:,.2f}**",
                },
            ),
        ]
    return "\n\n".join(parts)


def _levels(of: dict[str, int]) -> str:
    steep, flat = of.get("gdt.onnx", 0), of.get("vvp.onnx", 0)
    return f"{steep} levels" + (f" and the value alone at {flat} more" if flat else "")


def _limit(rows: Sequence[Row]) -> str:
    columns = {
        "model": "{model}",
        "graph": "{graph}",
        "threads": "{threads}",
        "S x K, C, Q (runs)": "{sources} x {levels}, {context}, {targets} ({passes})",
        "GFLOP": "{gflop:.2f}",
        "seconds": "{seconds:.4f}",
        "GFLOP/s": "{gflops:.1f}",
        "best matrix rate, GFLOP/s": "{matrix_gflops:.1f} ({matrix})",
        "reached": "**{fraction:.0%}**",
    }
    shares = [
        f"- {row['model']} {row['graph']}, {row['threads']} thread(s): "
        + ", ".join(f"{kind} {part:.0%}" for kind, part in _largest(row["shares"]))
        for row in rows
    ]
    return "\n\n".join(
        [
            "## The limit",
            "Operations are those of the graph's matrix products alone. The matrix rate is the best of numpy, torch "
            "and onnxruntime at a large square and at the products of the graph's own layers, in turns with the graph.",
            table(rows, columns),
            "Where the time goes, by onnxruntime's profile:",
            "\n".join(shares),
        ]
    )


def _largest(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(kind, part) for kind, part in shares.items() if part >= 0.01]


def _throughput(rows: Sequence[Row]) -> str:
    columns = {
        "model": "{model}",
        "context": "{context:,}",
        "sources": "{sources}",
        "targets": "{targets:,}",
        "seconds per source": "**{seconds_per_source:.4f}**",
        "pairs/s": "{pairs_per_s:,.0f}",
        "peak resident, MiB": "{rss_mib:,.0f}",
    }
    return (
        "## Throughput\n\nFrom names to probabilities in memory, warm; mini is the bundled artifact, scgpt 12 layers "
        "of width 512 with random weights and 20,000 genes.\n\n" + table(rows, columns)
    )


def _growth(rows: Sequence[Row]) -> str:
    shown = [{"sizes": _points(row), "first": row["points"][0], "last": row["points"][-1]} for row in rows]
    for each, row in zip(shown, rows, strict=True):
        each |= {**row, "p": "time hardly grows" if row["flat"] else f"**{row['exponent']:.2f}**"}
    columns = {
        "model": "{model}",
        "axis": "{axis}",
        "size: seconds": "{sizes}",
        "p of a + b n^p": "{p}",
        "a, s": "{start:.3f}",
        "share of b n^p, largest": "{share:.0%}",
        "fit error": "{error:.1%}",
        "slope of log time": "{whole:.2f}",
        "peak resident, MiB": "{first[rss_mib]:,.0f} to {last[rss_mib]:,.0f}",
    }
    return "## Growth\n\n" + table(shown, columns)


def _points(row: Row) -> str:
    return ", ".join(f"{point[row['axis']]:,}: {point['seconds']:.3f}" for point in row["points"])


def _commands(rows: Sequence[Row]) -> str:
    columns = {
        "command": "`ugrn {command}`",
        "sources": "{sources:,}",
        "pairs": "{pairs:,}",
        "seconds": "**{seconds:.2f}**",
        "runs": "{runs}",
        "pairs/s": "{pairs_per_s:,.0f}",
        "peak resident, MiB": "{rss_mib:,.0f}",
        "written, MB": "{written_mb:,.1f}",
    }
    return "## Commands\n\nWhole processes, the bundled artifact.\n\n" + table(rows, columns)


def _peers(rows: Sequence[Row]) -> str:
    columns = {
        "method": "{method}",
        "cells": "{cells}",
        "sources x genes": "{sources} x {genes}",
        "pairs scored": "{pairs:,}",
        "seconds": "{seconds:.2f}",
        "times ours": "**{ratio:,.1f}**",
    }
    return (
        "## Instead, from cells\n\nhHEP of BEELINE, the smallest STRING panel, all cores, one run each. The others "
        "learn from the cells; `ugrn` reads none here.\n\n" + table(rows, columns)
    )
