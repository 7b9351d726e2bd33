"""Shared by the sections: sizes, settings, and the artifacts, made when first needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.backbones.scgpt.model import ScGPT
from ugrn.export.graph.probe import Inputs
from ugrn.runtime import RuntimeSettings, open_artifact
from ugrn.runtime.engine.grid import GRADIENT_GRAPH
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.translator.translator import PROBES

from .random_models import Size, random_mini, random_scgpt, write_scoring_artifact
from .worker import with_context

MODELS = ("mini", "scgpt")
Rows = list[dict[str, Any]]


@dataclass
class Sizes:
    """Sizes of what is measured. `tiny` replaces all by what runs in seconds and says nothing.

    Attributes:
        scgpt: size of the random scGPT.
        mini_genes: vocabulary of the random mini.
        context: per model, context genes of ``limit`` and ``sides``.
        targets: of ``limit`` and ``sides``, per source.
        batches: per model, sources per batch that eager torch is tried with.
        square: side of the matrices of the machine's rate.
        repeats: timed rounds; medians are reported.
    """

    scgpt: Size = field(default_factory=Size)
    mini_genes: int = 19_000
    context: dict[str, int] = field(default_factory=lambda: {"mini": 16, "scgpt": 256})
    targets: int = 1_000
    batches: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"mini": (1, 8, 64), "scgpt": (1, 2)})
    square: int = 2_048
    repeats: int = 5
    quick: bool = False

    @classmethod
    def tiny(cls) -> Sizes:
        context = {"mini": 8, "scgpt": 12}
        batches: dict[str, tuple[int, ...]] = {"mini": (1, 2), "scgpt": (1, 2)}
        return cls(Size(64, 4, 2, 403), 400, context, 50, batches, 256, 2, quick=True)


@dataclass
class Bench:
    """Settings of one run and its artifacts.

    Attributes:
        folder: for artifacts and results of commands.
        sizes: how much is measured.
        provider: of what `ugrn` runs; the torch side stays on the CPU.
        data: folder with the open data, for the peers.
        full: also score every gene with every gene.
        notify: reports progress.
    """

    folder: Path
    sizes: Sizes
    provider: str = "cpu"
    data: Path = Path("../shared/data")
    full: bool = False
    notify: Callable[[str], None] = print

    def backbone(self, model: str) -> MiniBackbone | ScGPT:
        """The frozen torch module, with random weights."""
        return self._mini if model == "mini" else self._scgpt

    def artifact(self, model: str) -> Path:
        """Folder of the artifact of `backbone`."""
        folder = self.folder / f"{model}-artifact"
        if not folder.exists():
            self.notify(f"artifact of {model}")
            write_scoring_artifact(self.backbone(model), folder)
        return folder

    def prober(self, model: str, probes: tuple[str, ...] = PROBES, threads: int = 0) -> Prober:
        """A prober on the CPU whose context has the size of ``limit`` and ``sides``.

        With one thread it keeps its memory from run to run, as those of the workers of `ugrn network` do.
        """
        artifact = with_context(open_artifact(self.artifact(model)), self.sizes.context[model])
        return Prober(artifact, RuntimeSettings("cpu", threads), probes, keep_memory=threads == 1)

    @cached_property
    def _mini(self) -> MiniBackbone:
        return random_mini(self.sizes.mini_genes)

    @cached_property
    def _scgpt(self) -> ScGPT:
        return random_scgpt(self.folder / "checkpoint", self.sizes.scgpt)


def runtime_feeds(prober: Prober, sources: int, targets: int) -> tuple[int, dict[str, list[Inputs]]]:
    """Number of sources that the runtime takes at once out of `sources`, and its feeds of each graph for one block.

    The block is the runtime's own: `Prober.cells` runs on stand-ins for its sessions that record.
    """
    width, step = prober.block_size(sources, targets)
    recorders = {graph: _Recorder(1 + (graph == GRADIENT_GRAPH)) for graph in prober.grid.graphs}
    stand_in = Prober(prober.artifact, prober.settings, prober.probes)
    stand_in.__dict__["sessions"] = recorders
    ids = np.arange(width + targets, dtype=np.int32)
    for first in range(width, width + targets, step):
        stand_in.cells(ids[:width], ids[first : first + step])
    return width, {graph: recorder.feeds for graph, recorder in recorders.items()}


class _Recorder:
    """Takes the place of a `GraphSession`."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs
        self.feeds: list[Inputs] = []

    def run(self, *feed: Any) -> list[np.ndarray]:
        self.feeds.append(feed)
        shape = (*feed[3].shape, len(feed[4]))
        return [np.zeros(shape, np.float32)] * self.outputs
