"""Figures of the benchmark, by the colours and the conventions of `plots`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType

from ugrn.runtime.errors import InputError

from .plots import BLUE, DPI, GREEN, GREY, ORANGE, PALE, PURPLE
from .result_tables import METHODS, NETWORKS, ORACLE, REGIME_METHODS, REGIMES, methods_of, tested
from .tables import in_order

ACROSS = 6  # edges beside each other
KINDS = {
    "paper": (BLUE, "o", "the paper's methods"),
    "control": (ORANGE, "s", "controls"),
    "classical": (GREEN, "^", "classical methods"),
}
Line = tuple[str, str, LineStyleType]
LINES: tuple[Line, ...] = (
    (BLUE, "o", "-"),
    (ORANGE, "s", "--"),
    (GREEN, "^", "-."),
    (PURPLE, "D", ":"),
)


def auprc_by_method(results: pl.DataFrame, regime: str = "degree-aware", panel: int = 500) -> Figure:
    """AUPRC of every method, one facet per network, all pairs; methods in the order of the tables.

    A marker is the mean over data sets, the small dots are the data sets. The bar is the mean's interval: the data
    sets' 95 % intervals put together as independent errors. It is left out where one of them is missing.

    Raises:
        InputError: nothing was measured there.
    """
    rows = tested(results).filter(metric="AUPRC", regime=regime, panel=panel, group="all").drop_nulls("value")
    what = f"AUPRC, regime {regime}, {panel} genes, pairs: all"
    networks = _networks(rows, what, results)
    methods = methods_of(rows, *KINDS)
    kinds = dict(rows.select("method", "kind").rows())
    figure, axes = _facets([True] * len(networks), len(networks), (1.95, 1.5 + 0.23 * len(methods)), 2.6, True)
    for axis, network in zip(axes, networks, strict=True):
        part = rows.filter(network=network)
        for place, method in enumerate(methods):
            colour, marker, _ = KINDS[kinds[method]]
            _dot(axis, place, part.filter(method=method), colour, marker, "white" if method == ORACLE else colour)
            if place and kinds[method] != kinds[methods[place - 1]]:
                axis.axhline(place - 0.5, color=PALE, linewidth=0.8)
        if regime != "natural":
            axis.axvline(0.5, color=GREY, linewidth=1, linestyle=":")
        axis.set_title(f"{_plain(network)} (data sets: {part['name'].n_unique()})", fontsize=9)
        axis.set_ylim(len(methods) - 0.4, -0.6)
    axes[0].set_yticks(range(len(methods)), [_plain(method) for method in methods])
    figure.supxlabel(f"{what}; mean and its 95 % interval", fontsize=9)
    used = [KINDS[kind] for kind in KINDS if kind in kinds.values()]
    keys = {name: Line2D([], [], color=colour, marker=marker, linestyle="") for colour, marker, name in used}
    keys["reads the test labels"] = Line2D([], [], color=ORANGE, marker="s", markerfacecolor="white", linestyle="")
    keys["one data set"] = Line2D([], [], color=GREY, marker=".", linestyle="")
    keys["chance"] = Line2D([], [], color=GREY, linestyle=":")
    dropped = {"reads the test labels": ORACLE not in methods, "chance": regime == "natural"}
    _legend(figure, {name: key for name, key in keys.items() if not dropped.get(name)})
    return figure


def regimes(results: pl.DataFrame, metric: str = "AUROC", panel: int = 500) -> Figure:
    """Methods over the four ways to draw negatives: means over data sets, all pairs, a facet per network.

    AUROC, because chance is 0.5 whatever the share of edges. Other methods than `REGIME_METHODS` are grey.

    Raises:
        InputError: nothing was measured there.
    """
    rows = tested(results).filter(metric=metric, panel=panel, group="all").drop_nulls("value")
    networks = _networks(rows, f"{metric}, {panel} genes, pairs: all", results)
    methods = methods_of(rows, *KINDS)
    named = {method: LINES[i % len(LINES)] for i, method in enumerate(REGIME_METHODS) if method in methods}
    means = rows.group_by("network", "regime", "method").agg(pl.col("value").mean())
    figure, axes = _facets([True] * len(networks), len(networks), (2.1, 3.6), 1.4, True)
    for axis, network in zip(axes, networks, strict=True):
        for method in [*(method for method in methods if method not in named), *named]:
            found = dict(means.filter(network=network, method=method).select("regime", "value").rows())
            y = [found.get(regime, math.nan) for regime in REGIMES]
            if method in named:
                colour, marker, dash = named[method]
                axis.plot(range(len(y)), y, color=colour, marker=marker, linestyle=dash, linewidth=1.6, markersize=5)
            else:
                axis.plot(range(len(y)), y, color=PALE, linewidth=0.8)
        axis.axhline(0.5, color=GREY, linewidth=1, linestyle=":")
        axis.set_xticks(range(len(REGIMES)), REGIMES, rotation=40, ha="right", rotation_mode="anchor")
        axis.set_title(_plain(network), fontsize=10)
    axes[0].set_ylabel(f"{_plain(metric)}, mean over data sets")
    figure.supxlabel(f"how negatives are drawn ({panel} genes, all pairs)", fontsize=9)
    others = {"all other methods": Line2D([], [], color=PALE), "chance": Line2D([], [], color=GREY, linestyle=":")}
    _legend(figure, _keys(named) | others)
    return figure


def reliability_diagrams(reliability: Sequence[Mapping[str, Any]]) -> Figure:
    """Share of edges against predicted probability: a row of facets per network, a column per data set.

    Args:
        reliability: rows of dataset, network, method and bins of probability, share and weight; the area of a marker
            is its bin's weight.

    Raises:
        InputError: there are no rows.
    """
    _need(reliability, "reliability rows")
    datasets = sorted({row["dataset"] for row in reliability})
    networks = in_order((row["network"] for row in reliability), NETWORKS)
    methods = in_order((row["method"] for row in reliability), METHODS)
    lines = {method: LINES[index % len(LINES)] for index, method in enumerate(methods)}
    cells = [(network, dataset) for network in networks for dataset in datasets]
    shown = [any((row["network"], row["dataset"]) == cell for row in reliability) for cell in cells]
    figure, axes = _facets(shown, len(datasets), (1.9, 2.0), 1.0, True)
    drawn = [cell for cell, seen in zip(cells, shown, strict=True) if seen]
    for axis, cell in zip(axes, drawn, strict=True):
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        for row in reliability:
            if (row["network"], row["dataset"]) == cell:
                colour, marker, dash = lines[row["method"]]
                x, y, weight = ([each[name] for each in row["bins"]] for name in ("probability", "share", "weight"))
                axis.plot(x, y, color=colour, linewidth=1.2, linestyle=dash)
                area = [160 * each / (sum(weight) or 1.0) for each in weight]
                axis.scatter(x, y, area, color=colour, marker=marker, linewidths=0)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axis.set_title(f"{_plain(cell[0])}, {_plain(cell[1])}", fontsize=9)
        if _first_column(axis):
            axis.set_ylabel("share of edges", fontsize=9)
    figure.supxlabel("predicted probability", fontsize=9)
    _legend(figure, _keys(lines) | {"calibrated": Line2D([], [], color=GREY, linestyle=":")})
    return figure


def known_edges(curves: Sequence[Mapping[str, Any]], unit: str = "value") -> Figure:
    """Response (VVP, above) and gradient (GDT, below) of well-known edges over the levels of the source.

    Args:
        curves: rows of source, target, levels and response, gradient_levels and gradient.
        unit: of levels and response.

    Raises:
        InputError: there are no rows.
    """
    _need(curves, "curves")
    across = min(len(curves), ACROSS)
    kinds = (("levels", "response", BLUE, "o"), ("gradient_levels", "gradient", ORANGE, "s"))
    starts = range(0, len(curves), across)
    drawn = [(row, kind) for start in starts for kind in kinds for row in curves[start : start + across]]
    shown = [start + column < len(curves) for start in starts for _ in kinds for column in range(across)]
    figure, axes = _facets(shown, across, (1.7, 1.7), 0.8, "row")
    labels = {"response": f"response [{unit}]", "gradient": f"gradient [{unit}/{unit}]"}
    spans = {name: _span([0.0, *(value for row in curves for value in row[name])]) for name in labels}
    for axis, (row, (levels, name, colour, marker)) in zip(axes, drawn, strict=True):
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.plot(row[levels], row[name], color=colour, marker=marker, markersize=4, linewidth=1.4)
        if name == "response":
            axis.set_title(f"{_plain(row['source'])} → {_plain(row['target'])}", fontsize=10)
        axis.set_ylim(spans[name])
        if _first_column(axis):
            axis.set_ylabel(labels[name])
    figure.supxlabel(f"level of the source [{unit}]", fontsize=9)
    return figure


def _facets(
    shown: Sequence[bool], across: int, panel: tuple[float, float], margin: float, sharey: bool | Literal["row"]
) -> tuple[Figure, list[Axes]]:
    """A figure of facets [inches], row by row, and the axes of those that are shown."""
    down = len(shown) // across
    size = (max(margin + panel[0] * across, 6.0), panel[1] * down + (1.0 if down > 1 else 0.8))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    grid = figure.subplots(down, across, sharex=True, sharey=sharey, squeeze=False)
    axes: list[Axes] = []
    for index, (axis, seen) in enumerate(zip(grid.flat, shown, strict=True)):
        axis.set_visible(seen)
        if seen:
            axes.append(axis)
            axis.spines[["top", "right"]].set_visible(False)
            lowest = not any(shown[index + across :: across])
            first = not any(shown[index - index % across : index])
            axis.tick_params(labelsize=9, labelbottom=lowest, labelleft=first)
    return figure, axes


def _keys(lines: Mapping[str, Line]) -> dict[str, Line2D]:
    return {
        name: Line2D([], [], color=colour, marker=marker, linestyle=dash)
        for name, (colour, marker, dash) in lines.items()
    }


def _legend(figure: Figure, keys: Mapping[str, Line2D]) -> None:
    names, columns = [_plain(name) for name in keys], 4 if len(keys) == 4 else 3
    figure.legend([*keys.values()], names, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)


def _dot(axis: Axes, place: int, rows: pl.DataFrame, colour: str, marker: str, face: str) -> None:
    """Data sets, interval and mean of one method."""
    if rows.is_empty():
        return
    mean = float(rows["value"].to_numpy().mean())
    below = [place + 0.28] * len(rows)
    axis.plot(rows["value"], below, ".", color=colour, alpha=0.5, markersize=5, markeredgewidth=0)
    if not rows["low"].has_nulls() and not rows["high"].has_nulls():
        low, high = (float(((rows["value"] - rows[end]) ** 2).sum()) ** 0.5 / len(rows) for end in ("low", "high"))
        axis.hlines(place, mean - low, mean + high, color=colour, linewidth=1.6)
    axis.plot(mean, place, marker, color=colour, markerfacecolor=face, markersize=5.5)


def _first_column(axis: Axes) -> bool:
    place = axis.get_subplotspec()
    return place is not None and place.is_first_col()


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis that holds all values."""
    pad = 0.08 * (max(values) - min(values)) or 1.0
    return min(values) - pad, max(values) + pad


def _networks(rows: pl.DataFrame, what: str, results: pl.DataFrame) -> list[str]:
    if rows.is_empty():
        found = results.select("metric", "regime", "panel", "group").unique().sort(pl.all()).rows()
        message = f"nothing was measured of {what} on a data set other than the training one; found {found[:12]}"
        raise InputError(message)
    return in_order(rows["network"], NETWORKS)


def _need(rows: Sequence[object], what: str) -> None:
    if not rows:
        message = f"no {what} to draw; expected at least one; leave this figure out"
        raise InputError(message)


def _plain(name: str) -> str:
    """A name that matplotlib does not read as a formula."""
    return name.replace("$", r"\$")
