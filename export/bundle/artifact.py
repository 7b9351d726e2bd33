"""Writing artifacts: a backbone's graphs are exported, proven, and sealed with their hashes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from torch import Tensor

from ugrn.runtime.artifact.manifest import EMBEDDINGS, FORMAT, WEIGHTS, Manifest
from ugrn.runtime.engine.session import import_onnxruntime
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.pairs import read_pairs

from ..graph.parity import check_parity
from ..graph.probe import Probe
from ..graph.tracing import OPSET, export_onnx, export_torchscript
from ..model.base import Backbone, BackboneCard, Origin, Readout
from .folder import new_folder, write_gene_lists
from .seal import seal

FEWEST_GENES = 8


@runtime_checkable
class HasArtifactWeights(Protocol):
    """A backbone whose artifacts hold its weights, so that they can be read as its checkpoint."""

    def artifact_weights(self) -> dict[str, Tensor]:
        """Tensors ``[...]`` by name, as they are written."""


@dataclass(frozen=True)
class ExportSettings:
    """Settings of an export.

    Attributes:
        readout: where predictions are read; None takes the backbone's default.
        context: symbols of the reference context.
        torchscript: also write ``vvp.ts`` and ``gdt.ts``.
        overwrite: replace an existing folder.
        example_pairs: pair list to ship as the artifact's example.
        card: with other virtual values than the backbone's own card; None takes that.
        embeddings: ``[V, E]`` of the genes, whose products a translator may read; none are written where None.
    """

    readout: str | None = None
    context: Sequence[str] = ()
    torchscript: bool = False
    overwrite: bool = False
    example_pairs: Path | None = None
    card: BackboneCard | None = None
    embeddings: NDArray[Any] | None = None


def write_artifact(
    backbone: Backbone,
    folder: Path,
    settings: ExportSettings,
    origin: Origin,
    report: Callable[[str], None] = lambda line: None,
) -> Manifest:
    """Export a backbone into a new artifact folder.

    Raises:
        InputError: the folder exists, or a context gene or readout is not the backbone's.
        ParityError: a graph deviates from float64 autograd; nothing is written.
    """
    card = settings.card or backbone.card
    probe = Probe(backbone, _checked_readout(backbone, card, settings), card.baseline)
    every_level = (*card.vvp_levels, *card.gdt_levels, card.baseline)
    with new_folder(folder, settings.overwrite) as part:
        for name, tangent in (("vvp", False), ("gdt", True)):
            report(f"tracing {name}.onnx")
            export_onnx(probe, tangent, part / f"{name}.onnx")
            if settings.torchscript:
                export_torchscript(probe, tangent, part / f"{name}.ts")
        report("comparing with float64 autograd")
        parity = check_parity(probe, part, (min(every_level), max(every_level)))
        _write_files(part, backbone, settings, origin)
        return seal(part, _manifest(probe, card, origin, len(settings.context), parity))


def write_weights(backbone: HasArtifactWeights, path: Path) -> None:
    """Write a backbone's weights as safetensors."""
    path.write_bytes(safetensors.torch.save(backbone.artifact_weights()))


def _checked_readout(backbone: Backbone, card: BackboneCard, settings: ExportSettings) -> Readout:
    """The readout to export, after refusing what a backbone cannot be exported with."""
    readout = card.offered(settings.readout)
    if len(backbone.symbols) < FEWEST_GENES:
        message = f"{card.name} has {len(backbone.symbols)} genes; at least {FEWEST_GENES} are needed to trace it"
        raise InputError(message)
    unknown = sorted(set(settings.context) - set(backbone.symbols))
    if unknown:
        message = f"context genes not in the backbone's vocabulary: {', '.join(unknown[:10])}"
        raise InputError(message)
    if settings.example_pairs is not None:
        read_pairs(settings.example_pairs)
    return readout


def _write_files(part: Path, backbone: Backbone, settings: ExportSettings, origin: Origin) -> None:
    """Write all but graphs, card and manifest."""
    write_gene_lists(part, backbone.symbols, settings.context, origin.aliases)
    if settings.embeddings is not None:
        np.save(part / EMBEDDINGS, settings.embeddings.astype(np.float16))
    if isinstance(backbone, HasArtifactWeights):
        write_weights(backbone, part / WEIGHTS)
    if origin.licence_text:
        (part / "LICENSE").write_text(origin.licence_text, encoding="utf-8")
    if settings.example_pairs is not None:
        shutil.copyfile(settings.example_pairs, part / "example_pairs.csv")


def _manifest(probe: Probe, card: BackboneCard, origin: Origin, context_size: int, parity: dict[str, Any]) -> Manifest:
    """The manifest before its files are listed."""
    cautions = card.cautions(probe.readout)
    return Manifest(
        format=FORMAT,
        backbone=card.name,
        licence=origin.licence or card.licence,
        readout=probe.readout,
        gradient=card.gradient,
        units=card.units,
        scale=card.scale,
        context_size=context_size,
        baseline=card.baseline,
        vvp_levels=card.vvp_levels,
        gdt_levels=card.gdt_levels,
        shape=probe.backbone.shape,
        opset=OPSET,
        parity=parity,
        provenance={
            **origin.provenance,
            **({"notice": card.notice} if card.notice else {}),
            **({"cautions": cautions} if cautions else {}),
            "exported_with": _versions(),
        },
    )


def _versions() -> dict[str, str]:
    versions = {name: version(name) for name in ("ugrn", "torch", "onnx")}
    return versions | {"onnxruntime": str(import_onnxruntime().__version__)}
