"""Figures: they are made without a warning, their labels do not overlap, and what is drawn is what was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from ugrn.export.benchmark import figures, plots
from ugrn.runtime.errors import InputError

NETWORKS = ("string", "nonspecific", "specific", "lofgof")
METHODS = {
    "paper": ("Pert", "Attn", "Pert (T)", "Emb (T)", "VVP", "GDT", "Ensemble", "a$b$"),
    "control": ("random weights", "text cosine", "co-expression of the pretraining data", "oracle degree"),
    "classical": ("GENIE3", "GRNBoost2", "PIDC", "Pearson", "Spearman", "a method", "another", "and another"),
}


def made(networks: tuple[str, ...] = NETWORKS, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for network in networks:
        for dataset in ("hESC", "mDC", "mESC")[: 2 if network == "lofgof" else 3]:
            for kind, methods in METHODS.items():
                for method in methods[int(dataset == "mDC" and kind == "classical") :]:
                    for regime in ("random", "degree-aware", "natural"):
                        cell = {"train": "hESC/string", "dataset": dataset, "network": network, "panel": 500}
                        name = {"regime": regime, "group": "all", "method": method, "kind": kind}
                        value = rng.uniform(0.4, 0.8)
                        low, high = value - rng.uniform(0, 0.1), value + rng.uniform(0, 0.1)
                        ends = {"low": None, "high": None} if method == "Pert" else {"low": low, "high": high}
                        rows.append(cell | name | {"metric": "AUPRC", "value": value} | ends)
                        rows.append(cell | name | {"metric": "AUROC", "value": value, "low": None, "high": None})
    return pl.DataFrame(rows, infer_schema_length=None)


def reliability(count: int) -> list[dict[str, Any]]:
    bins = [{"probability": p, "share": p / 2, "weight": 0.25} for p in (0.1, 0.4, 0.6, 0.9)]
    cells = [(network, dataset) for network in NETWORKS for dataset in ("hHEP", "mDC", "mESC")][:count]
    return [
        {"dataset": dataset, "network": network, "method": method, "bins": bins}
        for network, dataset in cells
        for method in ("VVP", "GDT", "Ensemble")
    ]


def curves(count: int) -> list[dict[str, Any]]:
    usual = {"levels": [-1, 0, 2], "response": [-0.1, 0, 0.3], "gradient_levels": [-2, 1], "gradient": [0.1, 0.2]}
    return [{"source": f"SOURCE{index}", "target": "TARGET1"} | usual for index in range(count)]


def drawn(one: bool) -> dict[str, Figure]:
    results = made(("string",) if one else NETWORKS)
    return {
        "auprc": figures.auprc_by_method(results),
        "natural": figures.auprc_by_method(results, regime="natural"),
        "regimes": figures.regimes(results),
        "reliability": figures.reliability_diagrams(reliability(1 if one else 11)),
        "edges": figures.known_edges(curves(1 if one else 8)),
    }


@pytest.mark.parametrize("one", [True, False])
def test_figures_are_saved_and_no_label_overlaps(tmp_path: Path, one: bool) -> None:
    for name, figure in drawn(one).items():
        plots.save(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
        for axis in figure.axes:
            for labels in (axis.get_yticklabels(), [] if name == "regimes" else axis.get_xticklabels()):
                boxes = [label.get_window_extent() for label in labels if label.get_visible() and label.get_text()]
                assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]), name
            inside = axis.get_tightbbox()
            assert not axis.get_visible() or inside is None or (inside.x0 >= -1 and inside.x1 <= figure.bbox.x1 + 1)


def test_same_figure_same_bytes() -> None:
    assert plots.png(figures.regimes(made())) == plots.png(figures.regimes(made()))


@pytest.mark.parametrize("seed", range(3))
def test_bar_is_the_interval_of_the_mean(seed: int) -> None:
    results = made(("string",), seed)
    (axis,) = figures.auprc_by_method(results).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    bars = {names[int(bar.get_segments()[0][0][1])]: bar.get_segments()[0][:, 0] for bar in axis.collections}
    assert "Pert" not in bars
    assert len(bars) == sum(map(len, METHODS.values())) - 1
    for method, bar in bars.items():
        name = method.replace("\\$", "$")
        kept = results.filter(method=name, metric="AUPRC", regime="degree-aware").filter(pl.col("dataset") != "hESC")
        rows = kept.rows(named=True)
        mean = sum(row["value"] for row in rows) / len(rows)
        left = sum((row["value"] - row["low"]) ** 2 for row in rows) ** 0.5 / len(rows)
        right = sum((row["high"] - row["value"]) ** 2 for row in rows) ** 0.5 / len(rows)
        np.testing.assert_allclose(bar, [mean - left, mean + right], rtol=1e-12)


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(InputError, match=r"nothing was measured of AUPRC, regime none.*degree-aware"):
        figures.auprc_by_method(made(), regime="none")
    with pytest.raises(InputError, match="nothing was measured of EPR"):
        figures.regimes(made(), metric="EPR")
    with pytest.raises(InputError, match="no reliability rows"):
        figures.reliability_diagrams([])
    with pytest.raises(InputError, match="no curves"):
        figures.known_edges([])


def test_pyplot_is_never_loaded() -> None:
    code = "import sys, ugrn.export.benchmark.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
