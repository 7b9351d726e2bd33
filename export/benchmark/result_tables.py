"""Tables of the benchmark's results, and what they say in plain words.

The results are a data frame with one row per (train, dataset, network, panel, regime, group, method, metric) and
the columns `COLUMNS`: `train` is "dataset/network", `kind` is paper, control or classical, `value` is a mean over
seeds, `low` and `high` are its 95 % bootstrap interval over sources (null where it was not computed). A missing
method, a null and a not-a-number are all shown as a dash. The training data set is left out of every table: the
genes there are known, so it is no zero-shot test.

Every table is Markdown; see `tables`.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ugrn.runtime.errors import InputError

from ..training.negatives import REGIMES as DRAWN
from .evaluate import NATURAL
from .tables import DASH, Cell, Grid, best_of, in_order, to_markdown

COLUMNS = (
    *("train", "dataset", "network", "panel", "regime", "group", "method", "kind", "metric"),
    *("value", "low", "high"),
)
NETWORKS = ("string", "nonspecific", "specific", "lofgof")
REGIMES = (*DRAWN, NATURAL)
BOTH = ("all", "both unseen")
METHODS = ("Pert", "Attn", "Pert (T)", "Emb (T)", "VVP", "GDT", "Ensemble")
ENSEMBLE = "Ensemble"
JOINED = "Ensemble + tokens"
ORACLE = "oracle degree"  # it reads the test labels: shown, but never the best
REGIME_METHODS = (ENSEMBLE, "random weights", ORACLE)
MEAN = "mean"
PARTIAL = "†"  # a mean that lacks some of the network's data sets

Values = dict[tuple[str, str, str], tuple[float, bool]]  # by network, data set or `MEAN`, and method; is it complete


def tested(results: pl.DataFrame) -> pl.DataFrame:
    """Zero-shot rows, not-a-number as null; `name` is the data set, with its training network where there are several.

    Raises:
        InputError: a column is missing.
    """
    if missing := [name for name in COLUMNS if name not in results.columns]:
        message = (
            f"results lack {', '.join(missing)}; found {', '.join(results.columns)}; give a benchmark's own results"
        )
        raise InputError(message)
    rows = results.filter(pl.col("dataset") != pl.col("train").str.split("/").list.first())
    several = rows["train"].n_unique() > 1
    name = pl.format("{} from {}", "dataset", "train") if several else pl.col("dataset")
    return rows.with_columns(pl.col("value", "low", "high").cast(pl.Float64).fill_nan(None), name=name)


def methods_of(rows: pl.DataFrame, *kinds: str) -> list[str]:
    """Methods of these kinds, kind after kind, the paper's in the paper's order."""
    return [name for kind in kinds for name in in_order(rows.filter(kind=kind)["method"], METHODS)]


def paper_table(results: pl.DataFrame, panel: int = 500) -> str:
    """The paper's methods, "all / both unseen" in a cell, one row per data set and their mean, by network."""
    rows = tested(results).filter(metric="AUPRC", regime="degree-aware", panel=panel)
    return to_markdown(_grid(rows, methods_of(rows, "paper"), "group", BOTH))


def control_table(results: pl.DataFrame, panel: int = 500) -> str:
    """The same for the Ensemble, the controls and the classical methods."""
    rows = tested(results).filter(metric="AUPRC", regime="degree-aware", panel=panel)
    paper = [name for name in methods_of(rows, "paper") if name == ENSEMBLE]
    return to_markdown(_grid(rows, paper + methods_of(rows, "control", "classical"), "group", BOTH))


def calibration_table(results: pl.DataFrame, panel: int = 500) -> str:
    """Calibration error / Brier score of the paper's methods, degree-aware, all pairs; the lowest is the best."""
    rows = tested(results).filter(regime="degree-aware", group="all", panel=panel)
    rows = rows.filter(pl.col("metric").is_in(["ECE", "Brier"])).drop_nulls("value")
    return to_markdown(_grid(rows, methods_of(rows, "paper"), "metric", ("ECE", "Brier"), lowest=True))


def density_table(results: pl.DataFrame, panel: int = 500) -> str:
    """AUPRC ratio / EPR among all candidate pairs, means over data sets: one row per method, one column per network."""
    rows = tested(results).filter(regime="natural", group="all", panel=panel)
    return to_markdown(_by_method(rows, ("AUPRC ratio", "EPR")))


def direction_table(results: pl.DataFrame, panel: int = 500) -> str:
    """Share of edges scored above their reverse, means over data sets: one row per method, one column per network."""
    rows = tested(results).filter(group="all", panel=panel)
    return to_markdown(_by_method(rows, ("direction accuracy",)))


def regime_table(results: pl.DataFrame, panel: int = 500) -> str:
    """AUPRC / AUROC of all pairs in the four regimes, means over data sets: one row per network and method."""
    rows = tested(results).filter(pl.col("method").is_in(REGIME_METHODS), group="all", panel=panel)
    listed = in_order(rows["method"], REGIME_METHODS)
    found = [[_values(rows.filter(regime=regime, metric=name)) for name in ("AUPRC", "AUROC")] for regime in REGIMES]
    lines = []
    for network in in_order(rows["network"], NETWORKS):
        columns = [_line(values, network, MEAN, listed) for values in found]
        names = [(network, method) for method in listed]
        lines += list(zip(names, zip(*columns, strict=True), strict=True))
    return to_markdown(Grid(("network", "method", *REGIMES), tuple(lines)))


def _values(rows: pl.DataFrame) -> Values:
    each = rows.drop_nulls("value").group_by("network", "name", "method", maintain_order=True)
    single = each.agg(pl.col("value").mean())
    sets = single.group_by("network").agg(sets=pl.col("name").n_unique())
    means = single.group_by("network", "method", maintain_order=True).agg(pl.col("value").mean(), own=pl.len())
    found: Values = {row[:3]: (row[3], True) for row in single.rows()}
    for network, method, value, own, count in means.join(sets, on="network").rows():
        found[network, MEAN, method] = (value, own == count)
    return found


def _grid(rows: pl.DataFrame, methods: Sequence[str], column: str, parts: Sequence[str], lowest: bool = False) -> Grid:
    """Data sets by network and, where there are several, their mean; a number per part of `column` in a cell."""
    rows = rows.filter(pl.col("method").is_in(methods), pl.col(column).is_in(parts)).drop_nulls("value")
    found = [_values(rows.filter(pl.col(column) == part)) for part in parts]
    lines = []
    for network in in_order(rows["network"], NETWORKS):
        names = sorted(set(rows.filter(network=network)["name"]))
        for name in [*names, MEAN] if len(names) > 1 else names:
            lines.append(((network, name), _line(found, network, name, methods, lowest)))
    return Grid(("network", "data set", *methods), tuple(lines))


def _by_method(rows: pl.DataFrame, metrics: Sequence[str]) -> Grid:
    """Means over data sets: a row per method, a column per network, a number per metric."""
    rows = rows.filter(pl.col("metric").is_in(metrics)).drop_nulls("value")
    found = [_values(rows.filter(metric=metric)) for metric in metrics]
    methods = methods_of(rows, "paper", "control", "classical")
    networks = in_order(rows["network"], NETWORKS)
    columns = [_line(found, network, MEAN, methods) for network in networks]
    lines = zip([(method,) for method in methods], zip(*columns, strict=True), strict=True)
    return Grid(("method", *networks), tuple(lines))


def _line(
    found: Sequence[Values], network: str, name: str, methods: Sequence[str], lowest: bool = False
) -> tuple[Cell, ...]:
    """A cell per method, in it a number from each of `found`; the best as shown, and its ties, are marked."""
    parts = []
    for values in found:
        numbers = [values.get((network, name, method)) for method in methods]
        rated = [
            number[0] if number and number[1] and method != ORACLE else None
            for number, method in zip(numbers, methods, strict=True)
        ]
        alone = sum(value is not None for value in rated) == 1
        marks = [False] * len(rated) if alone else best_of(rated, lowest)
        parts.append(list(zip(map(_text, numbers), marks, strict=True)))
    return tuple(zip(*parts, strict=True))


def _text(number: tuple[float, bool] | None) -> str:
    return DASH if number is None else f"{number[0]:.3f}{'' if number[1] else PARTIAL}"
