"""The alternatives for a network from cells: GENIE3, GRNBoost2 and RegDiffusion, on the same genes.

GENIE3 and GRNBoost2 are this project's own (`ugrn.export.benchmark.classical`), with all cores. They learn from the
data set's cells; `ugrn` reads no cells here, so the times compare effort, not the same answer.
"""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from ugrn.export.benchmark.classical import genie3, grnboost2
from ugrn.export.benchmark.datasets import read_datasets
from ugrn.runtime import load
from ugrn.runtime.engine.session import processors
from ugrn.runtime.errors import InputError

from .settings import Bench, Rows

DATASET, NETWORK = "hHEP", "string"
QUICK = (5, 12, 60)  # sources, genes, cells


def compare_peers(bench: Bench) -> tuple[Rows, list[str]]:
    """One row per method, run once each; and why any is missing."""
    try:
        sets = read_datasets(bench.data, smallest=True)
    except InputError as error:
        return [], [f"peers skipped: {error}"]
    if DATASET not in sets or sets[DATASET].expression is None:
        return [], [f"peers skipped: {bench.data} has no expression of {DATASET}"]
    expression, symbols, sources = _matrix(sets[DATASET], bench.sizes.quick)
    jobs = processors()
    methods: dict[str, Callable[[], int]] = {
        f"ugrn, {bench.provider}": partial(_ugrn, bench.provider, symbols, sources),
        "GENIE3, 100 trees": lambda: int(np.isfinite(genie3(expression, sources, n_jobs=jobs)).sum()),
        "GRNBoost2": lambda: int(np.isfinite(grnboost2(expression, sources, n_jobs=jobs)).sum()),
    }
    notes = []
    if importlib.util.find_spec("regdiffusion"):
        methods["RegDiffusion"] = lambda: _regdiffusion(expression, sources)
    else:
        notes.append("RegDiffusion is not installed here and was not measured.")
    rows: Rows = []
    for name, method in methods.items():
        bench.notify(f"peers: {name}")
        started = time.perf_counter()
        pairs = method()
        row = {"method": name, "seconds": time.perf_counter() - started, "pairs": pairs}
        rows.append(row | {"cells": len(expression), "sources": len(sources), "genes": len(symbols)})
    for row in rows:
        row["ratio"] = row["seconds"] / rows[0]["seconds"]
    return rows, notes


def _matrix(dataset: Any, quick: bool) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Expression ``[cells, genes]`` of the smallest panel's measured genes, their names, the sources' columns."""
    network = next(each for (name, _), each in sorted(dataset.networks.items()) if name == NETWORK)
    measured = np.isfinite(dataset.expression).all(axis=0)
    genes = np.array([gene for gene in np.union1d(network.sources, network.genes) if measured[gene]])
    sources = np.flatnonzero(np.isin(genes, network.sources))
    expression = dataset.expression[:, genes]
    if quick:
        few, some, cells = QUICK
        keep = np.concatenate([sources[:few], np.setdiff1d(np.arange(len(genes)), sources)[: some - few]])
        genes, expression, sources = genes[keep], expression[:cells, keep], np.arange(len(sources[:few]))
    return expression, [dataset.genes[gene] for gene in genes], sources


def _ugrn(provider: str, symbols: list[str], sources: np.ndarray) -> int:
    """Scored pairs; opening the artifact is part of it."""
    pairs = [(symbols[source], symbol) for source in sources for symbol in symbols if symbol != symbols[source]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # genes that are not in the vocabulary are counted in the row
        frame = pl.DataFrame(pairs, schema=["source", "target"], orient="row")
        return len(load(provider=provider).score(frame))


def _regdiffusion(expression: np.ndarray, sources: np.ndarray) -> int:
    """Its published defaults, which ask for CUDA where there is one."""
    import regdiffusion  # type: ignore[import-not-found]

    trainer = regdiffusion.RegDiffusionTrainer(expression)
    trainer.train()
    return int(np.isfinite(trainer.get_adj()[sources]).sum())
