"""The choice of the settings of ``python -m bench.grnformer``: by the loss on validation rows, with the arms none and
no edges alone. No network is looked at, and no test row of the seeds tried; they are rows of other seeds' tests too.

    python -m bench.grnformer.settings ../shared/data --task drug-class
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.parallel import Parallel, delayed

from ugrn.export.adapter.adapt import open_base
from ugrn.runtime import load

from .arms import make_arm
from .data import KINDS, Split, TaskKind
from .fit import SETTINGS, FitSettings, fit
from .prepare import Prepared, Resources, prepare, usable
from .problems import make_problem
from .read import read_tasks
from .splits import splits
from .tokens import frozen

ARMS = ("none", "no edges")
SEEDS = (100,)  # others than those of an evaluation
TRIED: dict[TaskKind, tuple[dict[str, tuple[float, ...]], ...]] = {  # one grid after the other, around `SETTINGS`
    "perturbation": (
        {"hidden": (8, 32), "rate": (3e-4, 1e-3, 3e-3), "decay": (1e-2, 1.0)},
        {"beta_rate": (10, 30, 100, 300, 1000)},
    ),
    "drug-response": (
        {"hidden": (64, 128), "rate": (5e-4, 1e-3), "decay": (1e-1, 1.0)},
        {"beta_rate": (10, 30, 100, 300)},
    ),
    "drug-class": (
        {"hidden": (0, 32), "rate": (5e-4, 1e-3), "decay": (1e-2, 1.0)},
        {"beta_rate": (10, 30, 100, 300)},
    ),
}


def candidates(task: TaskKind) -> Iterator[FitSettings]:
    """All combinations of what is tried."""
    base = SETTINGS[task]
    for grid in TRIED[task]:
        for values in product(*grid.values()):
            chosen: dict[str, Any] = dict(zip(grid, values, strict=True))
            sizes = replace(base.sizes, hidden=int(chosen.pop("hidden", base.sizes.hidden)))
            yield replace(base, sizes=sizes, **chosen)


def losses(prepared: Prepared, split: Split, seed: int, settings: FitSettings) -> list[tuple[float, float, int, float]]:
    """Before training and at best, the best epoch, and seconds; of each arm."""
    torch.set_num_threads(1)
    found = []
    for name in ARMS:
        arm = make_arm(name, replace(prepared.material, measured=None), None, seed)
        fitted = fit(make_problem(prepared.data, split, prepared.inputs), arm, settings, seed)
        found.append((fitted.losses[0], fitted.losses[fitted.epoch], fitted.epoch, fitted.seconds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--task", choices=KINDS, required=True)
    parser.add_argument("--genes", type=int, default=128)
    parser.add_argument("--sets", type=int, default=1, help="how many of the task's data sets")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    tools = Resources(frozen(open_base(None).loaded), load(), options.genes)
    for whole in read_tasks(options.data, options.task)[: options.sets]:
        data, _ = usable(whole, tools)
        started = time.monotonic()
        jobs: list[tuple[Prepared, Split, int]] = []
        for seed in SEEDS:
            for split in splits(data, seed)[:2]:
                prepared = prepare(data, split, tools) if not jobs or options.task == "perturbation" else jobs[0][0]
                jobs.append((prepared, split, seed))
        print(f"\n{data.name}: {len(jobs)} splits, prepared in {time.monotonic() - started:.0f} s", flush=True)
        print(
            "| hidden | rate | decay | beta rate | "
            + " | ".join(f"{arm}: before, best, epoch, s" for arm in ARMS)
            + " |"
        )
        print("|---|---|---|---|---|---|")
        for settings in candidates(options.task):
            work = (delayed(losses)(*job, settings) for job in jobs)
            mean = np.mean(Parallel(n_jobs=options.jobs)(work), axis=0)
            cells = [f"{row[0]:.4f}, {row[1]:.4f}, {row[2]:.1f}, {row[3]:.1f}" for row in mean]
            name = f"{settings.sizes.hidden} | {settings.rate:g} | {settings.decay:g} | {settings.beta_rate:g}"
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
