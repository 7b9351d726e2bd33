"""The goals, each judged by what this run measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LINEAR = 1.1


def verdicts(results: dict[str, Any]) -> list[str]:
    """One plain sentence per goal whose section was run."""
    return [*_sides(results.get("sides", [])), *_limit(results.get("limit", [])), *_growth(results.get("growth", []))]


def _said(reached: bool) -> str:
    return "Reached" if reached else "**Not reached**"


def _sides(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        ratios, model = row["ratios"], row["model"]
        if model == "scgpt":
            jvp = ratios["jvp"]
            yield f"{_said(jvp >= 4)}: {jvp:.1f}x torch.func.jvp in eager torch at scGPT width (goal 4x)."
        paper, shared, plain = ratios["paper"], ratios["paper, forward shared"], ratios["plain"]
        yield (
            f"{_said(paper >= 2_000)}: {paper:,.0f}x the paper's way for {model} at {row['targets']:,} targets per "
            f"source (goal 2,000x; extrapolated; {shared:,.0f}x where the targets of a level share its forward pass)."
        )
        yield f"{_said(plain >= 1.5)}: {plain:.2f}x the plain graph for {model} with mvc (goal 1.5x)."


def _limit(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        if row["graph"] == "gdt":
            goal = 0.85 if row["model"] == "scgpt" else 0.75
            yield (
                f"{_said(row['fraction'] >= goal)}: the gradient graph of {row['model']} reaches "
                f"{row['fraction']:.0%} of the measured matrix rate on {row['threads']} thread(s) (goal {goal:.0%})."
            )


def _growth(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        if row["axis"] not in ("sources", "targets"):
            continue
        exponent = row["whole"] if row["flat"] else row["exponent"]
        what = "slope of log time by log size (it hardly grows)" if row["flat"] else "exponent p of a + b n^p"
        yield (
            f"{_said(exponent <= LINEAR)}: time of {row['model']} by {row['axis']} has {what} {exponent:.2f} "
            f"(goal: linear, at most {LINEAR})."
        )
