"""A whole benchmark run: scores of every method, every cell evaluated, tables and report. Resumable."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.utils.parallel import Parallel, delayed

from ugrn.runtime import Scorer
from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.results import replace_with

from ..training.translator import TranslatorConfig
from . import controls, plots, report, verdicts
from .build import Sources
from .datasets import DataSet, Network, networks_folder
from .evaluate import Cell, Protocol, evaluate
from .features import known_ids
from .methods import Group, Kind, Scored

KNOWN_EDGES = (
    ("POU5F1", "NANOG"),
    ("GATA1", "KLF1"),
    ("SOX2", "POU5F1"),
    ("SPI1", "CD14"),
    ("STAT1", "IRF1"),
    ("TP53", "CDKN1A"),
)
Notify = Callable[[str], None]
StageProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What a run evaluates.

    Attributes:
        train: data set and network the translators learn on.
        panels: numbers of variable genes.
        protocol: of every cell.
        digest: of all that decides the scores, so that a folder of another run is not resumed.
    """

    train: tuple[str, str]
    panels: tuple[int, ...]
    protocol: Protocol
    digest: str


def run(
    plan: Plan,
    data: Mapping[str, DataSet],
    scorer: Scorer,
    groups: Sequence[Group],
    folder: Path,
    metadata: Mapping[str, Any],
    notify: Notify,
    progress: StageProgress,
    jobs: int = 1,
) -> pl.DataFrame:
    """Score, evaluate and report into a claimed folder; what is there already is not done again.

    Cells are evaluated in `jobs` processes; the results do not depend on their number.

    Returns:
        The results: one row per cell, regime, group, method and metric (``results.parquet``).
    """
    started = time.monotonic()
    kinds: dict[str, Kind] = {method: kind for group in groups for method, kind in group.kinds.items()}
    kinds["oracle degree"] = "control"
    for each in data.values():
        if each.name == plan.train[0]:
            continue
        for group in groups:
            _score(folder, group, each, notify, progress)
    cells = [(each, net) for each in data.values() for net in each.networks.values() if each.name != plan.train[0]]
    parts = [folder / "parts" / f"{each.name}-{net.name}-{net.panel}.json" for each, net in cells]
    left = [(*cell, part) for cell, part in zip(cells, parts, strict=True) if not part.exists()]
    work = (
        delayed(_evaluate)(_cell(plan, data, scorer, _read(folder, groups, each), kinds, each, network), plan, part)
        for each, network, part in left
    )
    done = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs)(work)
    for index, _ in enumerate(done):
        progress("evaluating", len(cells) - len(left) + index + 1, len(cells))
    left_out = sorted(set(kinds) - _compared(folder))
    if left_out:
        notify(f"not compared, because they do not score every pair of any network: {', '.join(left_out)}")
    metadata = {**metadata, "methods": [method for method in kinds if method not in left_out]}
    minutes = round((time.monotonic() - started) / 60, 1)
    return _report(plan, folder, scorer, {**metadata, "minutes of the last run": minutes}, notify)


def _cell(
    plan: Plan,
    data: Mapping[str, DataSet],
    scorer: Scorer,
    scored: Scored,
    kinds: Mapping[str, Kind],
    each: DataSet,
    network: Network,
) -> Cell:
    names = scorer.artifact.names
    unseen = controls.unseen(data[plan.train[0]], training_network(data, plan), each, names)
    scored.scores["oracle degree"] = controls.degree(network, each)  # type: ignore[index]
    return Cell(each, network, known_ids(names, each) >= 0, unseen, scored, kinds)


def _evaluate(cell: Cell, plan: Plan, part: Path) -> None:
    found = evaluate(cell, plan.protocol)
    replace_with(part, partial(_write_json, found))


def training_network(data: Mapping[str, DataSet], plan: Plan) -> Network:
    """The network that translators are trained on, of the smallest panel.

    Raises:
        InputError: there is no such data set or network.
    """
    name, network = plan.train
    have = sorted({f"{each.name}/{key[0]}" for each in data.values() for key in each.networks})
    panels = [key[1] for key in data[name].networks if key[0] == network] if name in data else []
    if panels and len(data) < 2:
        message = f"--train {name}/{network}: the folder holds no other data set to test on"
        raise InputError(message)
    if not panels:
        message = f"--train {name}/{network}: not among the networks of the folder; expected one of {', '.join(have)}"
        raise InputError(message)
    return data[name].networks[network, min(panels)]


def check_readouts(scorer: Scorer, attention: Scorer | None) -> None:
    """Refuse artifacts that cannot stand for what they are asked for.

    Raises:
        InputError: the artifact gives attention, or the other one does not, or is of another vocabulary.
    """
    own = scorer.artifact
    if own.manifest.readout == "attn":
        message = f"{own.folder}: its readout is attn, which is no prediction; give it as --attention"
        raise InputError(message)
    if attention is None:
        return
    other = attention.artifact
    if other.manifest.readout != "attn" or other.names.symbols != own.names.symbols:
        message = (
            f"{other.folder}: {other.manifest.backbone} with readout {other.manifest.readout} and {len(other.names):,} "
            f"genes; expected the same backbone as {own.folder} ({own.manifest.backbone}, {len(own.names):,} genes), "
            "exported with --readout attn"
        )
        raise InputError(message)


def make_plan(
    train: tuple[str, str],
    data: Mapping[str, DataSet],
    protocol: Protocol,
    config: TranslatorConfig,
    scorer: Scorer,
    sources: Sources,
    folder: Path,
    quick: bool,
) -> Plan:
    """The plan of a run on `data`, read from `folder`; its digest covers the contents of all that is read."""
    panels = sorted({key[1] for each in data.values() for key in each.networks})
    artifacts = [each.artifact.digest for each in (scorer, sources.attention) if each is not None]
    settings = {"quick": quick, "translator": asdict(config), "versions": versions(), "artifacts": artifacts}
    files = [networks_folder(folder) / part for part in ("edges.parquet", "genes.parquet", "expression")]
    given = (sources.genes, sources.gene_embeddings, sources.gene_sets, *sources.expression)
    files += [each for each in given if each is not None]
    return Plan(train, tuple(panels), protocol, digest(settings, files))


def versions() -> dict[str, str]:
    """Of what decides scores, beside the artifact."""
    return {name: version(name) for name in ("ugrn", "numpy", "scikit-learn", "torch")}


def digest(settings: Mapping[str, Any], files: Iterable[Path]) -> str:
    """Of settings and of the contents of files and folders, to tell runs apart."""
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found.update(file.name.encode())
                found.update(file_entry(file)["sha256"].encode())
    return found.hexdigest()


def claim(folder: Path, plan: Plan) -> None:
    """Make a folder the run's own.

    Raises:
        InputError: it holds another run, or something else.
    """
    begun = any(folder.glob("scores/*/*.npz"))
    claim_folder(folder, asdict(plan), begun, "benchmark")
    if not begun:
        for stale in folder.glob("parts/*.json"):
            stale.unlink()
    for part in ("scores", "parts"):
        (folder / part).mkdir(exist_ok=True)


def claim_folder(folder: Path, settings: Mapping[str, Any], begun: bool, what: str) -> None:
    """Make a folder that of a run with some settings, which are written to ``run.json``.

    Args:
        begun: whether the folder holds results of a run.
        what: kind of run, for messages.

    Raises:
        InputError: it holds another run, or something else.
    """
    if folder.exists() and not folder.is_dir():
        message = f"{folder}: is a file; expected a folder, which is made where there is none"
        raise InputError(message)
    state = folder / "run.json"
    wanted = json.dumps(settings, indent=1) + "\n"
    if begun and (not state.exists() or state.read_text(encoding="utf-8") != wanted):
        message = f"{folder}: holds a run with other settings; choose another folder with -o, or delete this one"
        raise InputError(message)
    if not state.exists() and any(folder.glob("*")):
        message = f"{folder}: is not empty and holds no {what} run; choose another folder with -o"
        raise InputError(message)
    folder.mkdir(parents=True, exist_ok=True)
    replace_with(state, lambda part: part.write_text(wanted, encoding="utf-8"))


def _score(folder: Path, group: Group, data: DataSet, notify: Notify, progress: StageProgress) -> None:
    path = folder / "scores" / data.name / f"{group.name.replace(' ', '-')}.npz"
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
        path = folder / "scores" / data.name / f"{group.name.replace(' ', '-')}.npz"
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                role, _, method = key.partition(":")
                kept: Any = scored.scores if role == "score" else scored.probabilities
                kept[method] = arrays[key]
    return scored


def _report(plan: Plan, folder: Path, scorer: Scorer, metadata: dict[str, Any], notify: Notify) -> pl.DataFrame:
    rows, reliability = [], []
    for path in sorted((folder / "parts").glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        rows += found[0]
        reliability += found[1]
    results = pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.lit("/".join(plan.train)).alias("train"))
    replace_with(folder / "results.parquet", results.write_parquet)
    curves = known_curves(scorer)
    panel = min(plan.panels)
    figures = {
        "auprc_by_method": plots.auprc_by_method(results, panel=panel),
        "regimes": plots.regimes(results, panel=panel),
    }
    shown = [row for row in reliability if row["panel"] == panel and row["kind"] == "paper"]
    shown = [row for row in shown if row["dataset"] != plan.train[0]]
    if shown:
        figures["reliability_diagrams"] = plots.reliability_diagrams(shown)
    if curves:
        figures["known_edges"] = plots.known_edges(curves, unit=scorer.artifact.manifest.scale or "value")
    (folder / "plots").mkdir(exist_ok=True)
    for name, figure in figures.items():
        plots.save(figure, folder / "plots" / f"{name}.png")
    text = verdicts.markdown(results, metadata)
    replace_with(folder / "RESULTS.md", lambda part: part.write_text(text, encoding="utf-8"))
    report.write_report(results, metadata, reliability, curves, figures, folder / "report.html")
    notify(f"written: {folder / 'results.parquet'}, RESULTS.md, report.html, plots/")
    return results


def _compared(folder: Path) -> set[str]:
    parts = [json.loads(path.read_text(encoding="utf-8"))[0] for path in folder.glob("parts/*.json")]
    return {row["method"] for rows in parts for row in rows}


def known_curves(scorer: Scorer) -> list[dict[str, Any]]:
    """Response and gradient of well-known edges, of which the artifact knows both genes."""
    names, manifest = scorer.artifact.names, scorer.artifact.manifest
    pairs = [pair for pair in KNOWN_EDGES if (names.ids(list(pair)) >= 0).all()]
    if not pairs:
        return []
    ids = np.stack([names.ids(list(pair)) for pair in pairs]).astype(np.int64)
    found = scorer.features_of_ids(ids[:, 0], ids[:, 1])
    return [
        {
            "source": source,
            "target": target,
            "levels": [*manifest.vvp_levels],
            "response": found["vvp"][row].tolist(),
            "gradient_levels": [*manifest.gdt_levels],
            "gradient": found["gdt"][row].tolist(),
        }
        for row, (source, target) in enumerate(pairs)
    ]


def _write_json(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
