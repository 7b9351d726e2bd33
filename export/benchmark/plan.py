"""The plan of a benchmark run: training network, panels, protocol, and a digest of all that decides its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ugrn.runtime import Scorer
from ugrn.runtime.errors import InputError

from ..training.examples import TranslatorConfig
from .build import Sources
from .datasets import DataSet, Network, networks_folder
from .evaluate import Protocol
from .run_folder import claim_folder, digest, versions


@dataclass(frozen=True)
class Plan:
    """The choices of a run.

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
