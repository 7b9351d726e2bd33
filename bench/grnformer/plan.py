"""The plan of an evaluation: its tasks and settings, and a hash of all that decides its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ugrn.export.benchmark.run_folder import claim_folder, digest, versions
from ugrn.runtime.errors import InputError

from .data import KINDS, TaskKind
from .files import FOLDERS, tasks_folder
from .fit import SETTINGS, FitSettings
from .prepare import Resources


@dataclass(frozen=True)
class Plan:
    """The choices of a run.

    Attributes:
        tasks: in the order of the report.
        seeds: splits and trainings of everything.
        visible, targets, measured: see `Resources`.
        quick: the main data sets alone, in part, with fewer epochs.
        fits: how models of every task are fitted.
        digest: of data, backbone, artifact and versions.
    """

    tasks: tuple[TaskKind, ...]
    seeds: int
    visible: int
    targets: int
    measured: int
    quick: bool
    fits: Mapping[TaskKind, FitSettings]
    digest: str


def tasks_of(names: Sequence[str]) -> tuple[TaskKind, ...]:
    """The tasks of some names, all of none, in the order of the report.

    Raises:
        InputError: a name is of no task.
    """
    unknown = sorted(set(names) - set(KINDS))
    if unknown:
        message = f"--task {unknown[0]}: no such task; expected one of {', '.join(KINDS)}"
        raise InputError(message)
    return tuple(kind for kind in KINDS if kind in names or not names)


def make_plan(
    tasks: tuple[TaskKind, ...],
    seeds: int,
    quick: bool,
    tools: Resources,
    data: Path,
    checkpoint: Path | None,
    options: Sequence[str],
) -> Plan:
    """The plan of a run; its digest covers the contents of all that is read.

    Args:
        data: folder of the tasks.
        checkpoint, options: of the backbone, where it is not the artifact's.
    """
    decides = {"artifact": tools.scorer.artifact.digest, "options": list(options), "versions": versions()}
    folder = tasks_folder(data)
    files = [folder / FOLDERS[task] for task in tasks] + ([] if checkpoint is None else [checkpoint])
    sizes = tools.visible, tools.targets, tools.measured
    return Plan(tasks, seeds, *sizes, quick, fit_settings(quick), digest(decides, files))


def fit_settings(quick: bool) -> dict[TaskKind, FitSettings]:
    """Settings of the fits of every task; `quick` with a third of the epochs."""
    if not quick:
        return dict(SETTINGS)
    return {task: replace(each, epochs=max(1, each.epochs // 3)) for task, each in SETTINGS.items()}


def claim(folder: Path, plan: Plan) -> None:
    """Make a folder the run's own.

    Raises:
        InputError: it holds another run, or something else.
    """
    claim_folder(folder, asdict(plan), any(folder.glob("parts/*/*.parquet")), "evaluation")
