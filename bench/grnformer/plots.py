"""The figure of the downstream tasks: what every network adds to the random one and to the backbone alone."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ugrn.export.benchmark.plots import BLUE, DPI, GREY, ORANGE
from ugrn.export.benchmark.tables import in_order
from ugrn.runtime.errors import InputError

from .differences import ARMS, NONE, RANDOM, Difference, differences, first_metric, places
from .metrics import LOWER_IS_BETTER

ACROSS = 3
MARKS = {RANDOM: (BLUE, "o", -0.14), NONE: (ORANGE, "s", 0.14)}


def differences_figure(results: pl.DataFrame) -> Figure:
    """Paired differences with 95 % intervals, by the first metric of each task; a facet to a data set and split.

    Raises:
        InputError: there is no difference to draw, or two arms were not run on the same seeds and units.
    """
    found = [differences(place, metrics=(first_metric(place.task),)) for place in places(results)]
    shown = [each for each in found if each]
    if not shown:
        message = f"no arm over a network beside the arms {RANDOM} or {NONE}; expected one of these and another"
        raise InputError(message)
    arms = in_order((each.arm for facet in shown for each in facet), ARMS)
    down = -(-len(shown) // ACROSS)
    size = (9.6, down * (0.9 + 0.24 * len(arms)) + 0.7)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    grid = figure.subplots(down, min(ACROSS, len(shown)), sharey=True, squeeze=False)
    for axis in grid.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, facet in zip(grid.flat, shown, strict=False):
        _facet(axis, facet, arms)
    grid[0, 0].set_yticks(range(len(arms)), arms)
    grid[0, 0].set_ylim(len(arms) - 0.5, -0.5)
    keys = [Line2D([], [], color=colour, marker=marker, linestyle="-") for colour, marker, _ in MARKS.values()]
    names = [f"minus {other}" for other in MARKS]
    figure.legend(keys, names, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure


def _facet(axis: Axes, facet: Sequence[Difference], arms: Sequence[str]) -> None:
    """The differences of one place."""
    axis.axvline(0, color=GREY, linewidth=1, linestyle=":")
    for each in facet:
        colour, marker, shift = MARKS[each.minus]
        height, found = arms.index(each.arm) + shift, each.interval
        axis.hlines(height, found.low, found.high, color=colour, linewidth=1.5)
        axis.plot(found.mean, height, marker, color=colour, markersize=4.5)
    place, metric = facet[0].place, facet[0].metric
    axis.set_title(f"{place.data}\nheld-out {place.split}", fontsize=9)
    axis.set_xlabel(f"difference in {metric}{' (lower is better)' if metric in LOWER_IS_BETTER else ''}", fontsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(4))  # labels of small differences are long
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
