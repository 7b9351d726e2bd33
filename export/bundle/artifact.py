"""Writing artifacts: a backbone's graphs are exported, proven, and sealed with their hashes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from torch import Tensor

from ugrn.runtime.artifact.folder import open_artifact
from ugrn.runtime.artifact.manifest import EMBEDDINGS, FORMAT, MANIFEST, WEIGHTS, Manifest, file_entry
from ugrn.runtime.engine.session import import_onnxruntime
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.pairs import read_pairs
from ugrn.runtime.translator.translator import Translator, save_translator

from ..graph.parity import check_parity
from ..graph.probe import Probe
from ..graph.tracing import OPSET, export_onnx, export_torchscript
from ..model.base import Backbone, BackboneCard, Origin, Readout
from .card import model_card
from .folder import new_folder, write_gene_lists

FEWEST_GENES = 8
HUB_CARD = "README.md"


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
        return _seal(part, _manifest(probe, card, origin, len(settings.context), parity))


def add_translator(
    artifact: Path, translator: Translator, metrics: Mapping[str, Any], destination: Path | None = None
) -> Manifest:
    """Put a trained translator into an artifact, in place or into a copy at `destination`."""
    opened = open_artifact(artifact)
    with new_folder(destination or artifact, overwrite=destination is None) as part:
        for name in opened.manifest.files:
            shutil.copyfile(artifact / name, part / name)
        save_translator(translator, part / "translator.npz")
        return _seal(part, replace(opened.manifest, metrics=dict(metrics)))


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


def _seal(part: Path, manifest: Manifest) -> Manifest:
    """Write model card and manifest over the files of a folder.

    The card is there once more as ``README.md``, which model hubs show; that copy may be edited there, so the manifest
    does not list it.
    """
    (part / "MODEL_CARD.md").write_text(model_card(manifest), encoding="utf-8")
    listed = {path.name: file_entry(path) for path in sorted(part.iterdir()) if path.name not in (MANIFEST, HUB_CARD)}
    shutil.copyfile(part / "MODEL_CARD.md", part / HUB_CARD)
    manifest = replace(manifest, files=listed)
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False)
    (part / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


def _versions() -> dict[str, str]:
    versions = {name: version(name) for name in ("ugrn", "torch", "onnx")}
    return versions | {"onnxruntime": str(import_onnxruntime().__version__)}
