"""Writing artifact folders: to a temporary folder first, renamed when whole and proven."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.artifact.folder import EMBEDDINGS, FORMAT, MANIFEST, Manifest, file_entry, open_artifact
from ugrn.runtime.engine.session import import_onnxruntime
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import sync_file, sync_folder
from ugrn.runtime.files.pairs import read_pairs
from ugrn.runtime.translator.translator import Translator, save_translator

from ..graph.graph import OPSET, Probe, check_parity, export_onnx, export_torchscript
from ..model.base import Backbone, BackboneCard, Origin, Readout
from .card import model_card

FEWEST_GENES = 8
HUB_CARD = "README.md"
ARTIFACT = "an artifact folder"


@dataclass(frozen=True)
class ExportSettings:
    """What to export.

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
    readout = settings.readout or next(iter(card.readouts))
    if readout not in card.readouts:
        message = f"{card.name} has no readout {readout!r}; expected one of {', '.join(card.readouts)}"
        raise InputError(message)
    if len(backbone.symbols) < FEWEST_GENES:
        message = f"{card.name} has {len(backbone.symbols)} genes; at least {FEWEST_GENES} are needed to trace it"
        raise InputError(message)
    unknown = sorted(set(settings.context) - set(backbone.symbols))
    if unknown:
        message = f"context genes not in the backbone's vocabulary: {', '.join(unknown[:10])}"
        raise InputError(message)
    if settings.example_pairs is not None:
        read_pairs(settings.example_pairs)
    probe = Probe(backbone, cast(Readout, readout), card.baseline)
    cautions = card.cautions(probe.readout)
    every_level = (*card.vvp_levels, *card.gdt_levels, card.baseline)
    with new_folder(folder, settings.overwrite) as part:
        for name, tangent in (("vvp", False), ("gdt", True)):
            report(f"tracing {name}.onnx")
            export_onnx(probe, tangent, part / f"{name}.onnx")
            if settings.torchscript:
                export_torchscript(probe, tangent, part / f"{name}.ts")
        report("comparing with float64 autograd")
        parity = check_parity(probe, part, (min(every_level), max(every_level)))
        write_gene_lists(part, backbone.symbols, settings.context, origin.aliases)
        if settings.embeddings is not None:
            np.save(part / EMBEDDINGS, settings.embeddings.astype(np.float16))
        if origin.licence_text:
            (part / "LICENSE").write_text(origin.licence_text, encoding="utf-8")
        if settings.example_pairs is not None:
            shutil.copyfile(settings.example_pairs, part / "example_pairs.csv")
        manifest = Manifest(
            format=FORMAT,
            backbone=card.name,
            licence=origin.licence or card.licence,
            readout=readout,
            gradient=card.gradient,
            units=card.units,
            scale=card.scale,
            context_size=len(settings.context),
            baseline=card.baseline,
            vvp_levels=card.vvp_levels,
            gdt_levels=card.gdt_levels,
            shape=backbone.shape,
            opset=OPSET,
            parity=parity,
            provenance={
                **origin.provenance,
                **({"notice": card.notice} if card.notice else {}),
                **({"cautions": cautions} if cautions else {}),
                "exported_with": _versions(),
            },
        )
        return _seal(part, manifest)


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


def is_artifact(folder: Path) -> bool:
    """Whether a folder holds an artifact."""
    return (folder / MANIFEST).is_file()


@contextmanager
def new_folder(
    folder: Path, overwrite: bool, ours: Callable[[Path], bool] = is_artifact, kind: str = ARTIFACT
) -> Iterator[Path]:
    """A temporary folder that takes the place of `folder` when the block ends well, and vanishes when not.

    Raises:
        InputError: see `check_folder`.
    """
    folder = folder.resolve()
    check_folder(folder, overwrite, ours, kind)
    part, old = _beside(folder, "tmp"), _beside(folder, "old")
    if part.exists():  # of a run that was killed
        shutil.rmtree(part)
    part.mkdir()
    try:
        yield part
        for path in (each for each in part.rglob("*") if each.is_file()):
            sync_file(path)
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        sync_folder(folder.parent)
        if old.exists():
            shutil.rmtree(old)
    finally:
        if part.exists():
            shutil.rmtree(part)


def check_folder(
    folder: Path, overwrite: bool, ours: Callable[[Path], bool] = is_artifact, kind: str = ARTIFACT
) -> None:
    """Refuse a folder that cannot be written; bring back one that a killed run left half replaced.

    Args:
        ours: whether a folder may be replaced where `overwrite` is set, which `kind` says in words.

    Raises:
        InputError: it exists and may not be replaced, is none of `ours`, or its parent does not exist.
    """
    folder = folder.resolve()
    if not folder.parent.is_dir():
        message = f"{folder}: its parent folder does not exist; make it first with: mkdir -p {folder.parent}"
        raise InputError(message)
    old = _beside(folder, "old")
    if old.exists() and not folder.exists():
        old.rename(folder)
    elif old.exists():
        shutil.rmtree(old)
    if folder.exists() and not overwrite:
        message = f"{folder}: exists already; choose another folder with -o, or pass --overwrite"
        raise InputError(message)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir()) and not ours(folder)):
        message = f"{folder}: is not {kind} and will not be replaced; choose another with -o"
        raise InputError(message)


def _beside(folder: Path, role: str) -> Path:
    return folder.with_name(f".{folder.name}.ugrn-{role}")


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


def write_gene_lists(folder: Path, symbols: Sequence[str], context: Sequence[str], aliases: Mapping[str, str]) -> None:
    """Write ``genes.txt``, ``context.txt`` and ``aliases.tsv``."""
    lists = {
        "genes.txt": symbols,
        "context.txt": context,
        "aliases.tsv": [f"{name}\t{symbol}" for name, symbol in aliases.items()],
    }
    for name, lines in lists.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _versions() -> dict[str, str]:
    versions = {name: version(name) for name in ("ugrn", "torch", "onnx")}
    return versions | {"onnxruntime": str(import_onnxruntime().__version__)}
