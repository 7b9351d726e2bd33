"""A whole evaluation: every arm on every split of every data set, beside the baselines. Resumable.

What is finished is kept: one Parquet file for every fit, and one for every split's baselines.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.utils.parallel import Parallel, delayed

from ugrn.runtime import Scorer
from ugrn.runtime.files.atomic import replace_with
from ugrn.runtime.progress import Notify, StageProgress

from .arms import describe, make_arm
from .baselines import predict_baselines
from .data import DrugClass, Perturbations, Rows, Split, TaskData
from .differences import ARMS
from .fit import FitSettings, fit, predict
from .perturbation_baselines import GeneVectors, gene_vectors
from .plan import Plan
from .prepare import Prepared, Resources, missing_arms, prepare, usable
from .problems import make_problem
from .read import read_tasks
from .results import results_of
from .splits import splits
from .summary import write_summary

BASELINES = "baselines"


@dataclass(frozen=True)
class DataSetPlan:
    """One data set as it is evaluated.

    Attributes:
        data: with what can be compared.
        notes: what was left out.
        jobs: seed and split, once each.
        missing: arms that the data set has not, and why.
    """

    data: TaskData
    notes: tuple[str, ...]
    jobs: tuple[tuple[int, Split], ...]
    missing: Mapping[str, str]

    @property
    def arms(self) -> list[str]:
        """The baselines, and the arms that the data set has."""
        return [BASELINES, *(arm for arm in ARMS if arm not in self.missing)]

    def parts(self, folder: Path) -> list[Path]:
        """The files that keep all results."""
        return [self.part(folder, seed, split, arm) for seed, split in self.jobs for arm in self.arms]

    def part(self, folder: Path, seed: int, split: Split, arm: str) -> Path:
        """The file that keeps an arm's results of one split."""
        name = " ".join(filter(None, (split.name, split.fold, str(seed), arm)))
        return folder / "parts" / _file_name(f"{self.data.kind} {self.data.name}") / f"{_file_name(name)}.parquet"


def _file_name(name: str) -> str:
    """A name with what file systems take."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)


def read_work(plan: Plan, folder: Path, tools: Resources) -> list[DataSetPlan]:
    """The data sets of all tasks, and their splits.

    Raises:
        InputError: files are missing or cannot be read, or a data set has too few genes that are known.
    """
    found = []
    for task in plan.tasks:
        for data in read_tasks(folder, task, plan.quick):
            kept, notes = usable(data, tools)
            jobs = [(seed, split) for seed in range(plan.seeds) for split in splits(kept, seed)]
            found.append(DataSetPlan(kept, tuple(notes), tuple(jobs), dict(missing_arms(kept, tools.scorer))))
    return found


def run_evaluation(
    plan: Plan,
    works: Sequence[DataSetPlan],
    tools: Resources,
    folder: Path,
    metadata: Mapping[str, Any],
    notify: Notify,
    progress: StageProgress,
    jobs: int,
) -> pl.DataFrame:
    """Fit, evaluate and report into a claimed folder; what is there already is not done again.

    Fits run in `jobs` processes of one thread each; the results do not depend on their number.

    Returns:
        The results, see `results.SCHEMA`.
    """
    started = time.monotonic()
    parts = [path for work in works for path in work.parts(folder)]
    total, done = len(parts), sum(path.exists() for path in parts)
    progress("fits", done, total)
    for work in works:
        if all(path.exists() for path in work.parts(folder)):
            continue
        notify(f"{work.data.name}: {len(work.jobs)} splits")
        pending = _jobs(work, folder, tools, plan)
        for _ in Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs)(pending):
            done += 1
            progress(work.data.name, done, total)
    minutes = round((time.monotonic() - started) / 60, 1)
    rows = pl.concat([pl.read_parquet(path) for path in parts], how="diagonal")
    cautions = {work.data.name: _cautions(work) for work in works}
    made = {**metadata, "seeds": plan.seeds, "minutes of the last run": minutes, "plan": asdict(plan)}
    return write_summary(rows, cautions, made, folder, notify)


def _jobs(work: DataSetPlan, folder: Path, tools: Resources, plan: Plan) -> Iterator[Any]:
    """The work that is left. Cells are prepared once; perturbations for every split, which chooses their genes."""
    prepared, light = None, None
    for seed, split in work.jobs:
        left = [arm for arm in work.arms if not work.part(folder, seed, split, arm).exists()]
        if not left:
            continue
        if prepared is None or isinstance(work.data, Perturbations):
            prepared = prepare(work.data, split, tools)
            light = replace(prepared, data=_without_expression(prepared.data))
            vectors = _vectors(prepared.data, tools.scorer)
        for arm in left:
            part = work.part(folder, seed, split, arm)
            part.parent.mkdir(parents=True, exist_ok=True)
            if arm == BASELINES:
                yield delayed(_baselines)(prepared.data, split, seed, vectors, part)
            else:
                yield delayed(_fit)(light, split, arm, seed, plan.fits[work.data.kind], part)


def _without_expression(data: TaskData) -> TaskData:
    """Data as fits need them: what they read of cells are tokens."""
    if isinstance(data, Perturbations):
        return replace(data, control=None)
    return replace(data, expression=data.expression[:, :0])


def _vectors(data: TaskData, scorer: Scorer) -> GeneVectors | None:
    """The vectors that the linear baselines of perturbations read."""
    if not isinstance(data, Perturbations) or scorer.artifact.embeddings is None:
        return None
    return gene_vectors(scorer.artifact, data)


def _fit(prepared: Prepared, split: Split, name: str, seed: int, settings: FitSettings, part: Path) -> None:
    """Fit one arm and write its results, with what is to be said of the fit in further columns."""
    torch.set_num_threads(1)
    data, material = prepared.data, prepared.material
    arm = make_arm(name, material, _training_cells(data, split), seed)
    problem = make_problem(data, split, prepared.inputs)
    fitted = fit(problem, arm, settings, seed)
    rows = results_of(data, split, name, "adapter", seed, predict(problem, fitted.model, arm, split.test))
    metadata = {
        "fold": split.fold,
        **describe(arm, material.ugrn),
        "epoch": fitted.epoch,
        "beta": fitted.beta,
        "loss_before": fitted.losses[0],
        "loss": fitted.losses[fitted.epoch],
        "seconds": round(fitted.seconds, 2),
    }
    replace_with(part, rows.with_columns(pl.lit(value).alias(key) for key, value in metadata.items()).write_parquet)


def _baselines(data: TaskData, split: Split, seed: int, vectors: GeneVectors | None, part: Path) -> None:
    found = predict_baselines(data, split, vectors)
    rows = pl.concat([results_of(data, split, arm, "baseline", seed, each) for arm, each in found.items()])
    replace_with(part, rows.write_parquet)


def _training_cells(data: TaskData, split: Split) -> Rows | None:
    """The cells of the training rows; None for perturbations, whose cells are all controls."""
    if isinstance(data, Perturbations):
        return None
    return split.train if isinstance(data, DrugClass) else np.unique(data.line[split.train])


def _cautions(work: DataSetPlan) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for arm, why in work.missing.items():
        reasons.setdefault(why, []).append(f"`{arm}`")
    without = [f"without the arms {', '.join(arms)}: {why}" for why, arms in reasons.items()]
    return [*work.data.cautions, *work.notes, *without]
