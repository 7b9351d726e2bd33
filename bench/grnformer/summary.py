"""The output of an evaluation: results, what is to be said of every fit, the report and its figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ugrn.export.benchmark.plots import save
from ugrn.export.benchmark.tables import DASH, Grid, cells_of, in_order, plain, to_markdown
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import replace_with
from ugrn.runtime.progress import Notify

from .differences import ARMS
from .plots import differences_figure
from .report import report
from .results import SCHEMA

FIT = ("task", "data", "split", "fold", "seed", "arm")
FORMATS = {"edges": ",.0f", "genes": ",.0f", "shared": ".2f", "beta": ".3f", "epoch": ".1f"}
FORMATS |= {"loss_before": ".4f", "loss": ".4f", "seconds": ".1f"}
NETWORK_NOTE = (
    "Mean over splits and seeds. Edges and genes: of the networks that the adapter reads, of which a cell may have a "
    "part. Shared: how much of these edges ugrn's network has too. Beta: what the adapter's contribution is multiplied "
    "by after training. Epoch: which one was kept. Loss: at validation, before training and then."
)


def write_summary(
    rows: pl.DataFrame,
    cautions: Mapping[str, Sequence[str]],
    metadata: Mapping[str, Any],
    folder: Path,
    notify: Notify,
) -> pl.DataFrame:
    """Write ``results.parquet``, ``fits.parquet``, ``settings.json``, ``RESULTS.md`` and, where there are networks to
    compare, ``differences.png``.

    Args:
        rows: of all parts: the columns of `SCHEMA` and, of fits, those that say how it went.
        cautions: by data set.
        metadata: of the run, by name.

    Returns:
        The results.
    """
    results = rows.select(SCHEMA.names())
    replace_with(folder / "results.parquet", results.write_parquet)
    fits = fits_of(rows)
    replace_with(folder / "fits.parquet", fits.write_parquet)
    text = json.dumps(metadata, indent=1, default=str) + "\n"
    replace_with(folder / "settings.json", lambda part: part.write_text(text, encoding="utf-8"))
    parts = [report(results, cautions).rstrip("\n"), *networks(fits), "## How this was made", settings_list(metadata)]
    markdown = "\n\n".join(parts) + "\n"
    replace_with(folder / "RESULTS.md", lambda part: part.write_text(markdown, encoding="utf-8"))
    try:
        save(differences_figure(results), folder / "differences.png")
    except InputError as error:
        notify(f"no figure: {error}")
    notify(f"written: {folder / 'RESULTS.md'}, results.parquet, fits.parquet, settings.json, differences.png")
    return results


def fits_of(rows: pl.DataFrame) -> pl.DataFrame:
    """One row to every fit: its place, its networks and its training."""
    metadata = [name for name in rows.columns if name not in SCHEMA and name not in FIT]
    return rows.filter(pl.col("kind") == "adapter").select(*FIT, *metadata).unique(maintain_order=True)


def networks(fits: pl.DataFrame) -> list[str]:
    """Tables of the sizes of the arms' networks and of what they have in common with ugrn's, data set by data set."""
    parts = ["## The networks and the fits", NETWORK_NOTE]
    for (task, data), own in fits.group_by("task", "data", maintain_order=True):
        lines = []
        for arm in in_order(own["arm"], ARMS):
            means = pl.col(list(FORMATS)).cast(pl.Float64).fill_nan(None).mean()
            mean = own.filter(arm=arm).select(means).row(0, named=True)
            texts = [DASH if mean[name] is None else format(mean[name], form) for name, form in FORMATS.items()]
            lines.append(((arm,), cells_of(*texts)))
        header = ("arm", *(name.replace("_", " ") for name in FORMATS))
        parts += [f"### {task}: {plain(str(data))}", to_markdown(Grid(header, tuple(lines)))]
    return parts


def settings_list(metadata: Mapping[str, Any]) -> str:
    """Settings, one line to each; nested ones in brackets."""
    return "\n".join(f"- {plain(name)}: {plain(_text(value))}" for name, value in metadata.items())


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name} ({_text(each)})" if isinstance(each, Mapping) else f"{name} {_text(each)}"
            for name, each in value.items()
        )
    return " + ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
