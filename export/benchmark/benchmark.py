"""A whole benchmark run: scores of every method, every cell evaluated, the summary. Resumable."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from ugrn.runtime import Scorer
from ugrn.runtime.files.atomic import replace_with
from ugrn.runtime.progress import Notify, StageProgress

from . import controls
from .datasets import DataSet, Network
from .evaluate import Cell, evaluate
from .features import known_ids
from .methods import Group, Kind, Scored
from .plan import Plan, training_network
from .summary import Summary, compared_methods, write_summary


def run_benchmark(
    plan: Plan,
    data: Mapping[str, DataSet],
    scorer: Scorer,
    groups: Sequence[Group],
    folder: Path,
    metadata: Mapping[str, Any],
    notify: Notify,
    progress: StageProgress,
    jobs: int,
) -> Summary:
    """Score, evaluate and sum up into a claimed folder; what is there already is not done again.

    Cells are evaluated in `jobs` processes; the results do not depend on their number.

    Returns:
        The summary, whose results are in ``results.parquet``: one row per cell, regime, group, method and metric.
    """
    started = time.monotonic()
    kinds: dict[str, Kind] = {method: kind for group in groups for method, kind in group.kinds.items()}
    kinds["oracle degree"] = "control"
    for each in data.values():
        if each.name != plan.train[0]:
            for group in groups:
                _score(folder, group, each, notify, progress)
    _evaluate_all(plan, data, scorer, groups, kinds, folder, progress, jobs)
    left_out = sorted(set(kinds) - compared_methods(folder))
    if left_out:
        notify(f"not compared, because they do not score every pair of any network: {', '.join(left_out)}")
    methods = [method for method in kinds if method not in left_out]
    minutes = round((time.monotonic() - started) / 60, 1)
    return write_summary(plan, folder, scorer, {**metadata, "methods": methods, "minutes of the last run": minutes})


def _evaluate_all(
    plan: Plan,
    data: Mapping[str, DataSet],
    scorer: Scorer,
    groups: Sequence[Group],
    kinds: Mapping[str, Kind],
    folder: Path,
    progress: StageProgress,
    jobs: int,
) -> None:
    """Evaluate every cell that has no file of results yet."""
    names, learned, trained = scorer.artifact.names, data[plan.train[0]], training_network(data, plan)

    def cell(each: DataSet, network: Network) -> Cell:
        scored = _read(folder, groups, each)
        scored.scores["oracle degree"] = controls.degree(network, each)  # type: ignore[index]
        unseen = controls.unseen(learned, trained, each, names)
        return Cell(each, network, known_ids(names, each) >= 0, unseen, scored, kinds)

    cells = [(each, net) for each in data.values() for net in each.networks.values() if each.name != plan.train[0]]
    parts = [folder / "parts" / f"{each.name}-{net.name}-{net.panel}.json" for each, net in cells]
    left = [(*cell, part) for cell, part in zip(cells, parts, strict=True) if not part.exists()]
    work = (delayed(_evaluate)(cell(each, network), plan, part) for each, network, part in left)
    done = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs)(work)
    for index, _ in enumerate(done):
        progress("evaluating", len(cells) - len(left) + index + 1, len(cells))


def _evaluate(cell: Cell, plan: Plan, part: Path) -> None:
    text = json.dumps(evaluate(cell, plan.protocol), indent=1) + "\n"
    replace_with(part, lambda file: file.write_text(text, encoding="utf-8"))


def _scores_file(folder: Path, group: Group, data: DataSet) -> Path:
    return folder / "scores" / data.name / f"{group.name.replace(' ', '-')}.npz"


def _score(folder: Path, group: Group, data: DataSet, notify: Notify, progress: StageProgress) -> None:
    path = _scores_file(folder, group, data)
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    notify(f"{data.name}: {group.name}")
    scored = group.score(data, partial(progress, f"{data.name} {group.name}"))
    arrays = {f"score:{name}": values for name, values in scored.scores.items()}
    arrays |= {f"probability:{name}": values for name, values in scored.probabilities.items()}

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    replace_with(path, write)


def _read(folder: Path, groups: Sequence[Group], data: DataSet) -> Scored:
    scored = Scored({}, {})
    for group in groups:
        with np.load(_scores_file(folder, group, data), allow_pickle=False) as arrays:
            for key in arrays.files:
                role, _, method = key.partition(":")
                kept: Any = scored.scores if role == "score" else scored.probabilities
                kept[method] = arrays[key]
    return scored
