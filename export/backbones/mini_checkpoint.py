"""A pretrained mini backbone on disk: the folder ``ugrn pretrain`` writes and ``ugrn export mini`` reads.

pretrained.json       size, settings, held-out scores, sources with their licences
weights.safetensors   parameters and the finished gene table
genes.txt             vocabulary, row = id
aliases.tsv           other name, symbol
context.txt           genes fit for a virtual cell's context, best first
embeddings.npy        gene embeddings whose products a translator may read
LICENSE               licence text of the weights, where there is one

An artifact of the mini backbone is read as a checkpoint too: it holds the same files, and its manifest the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.artifact.folder import Artifact, open_artifact, read_aliases, read_lines
from ugrn.runtime.artifact.manifest import EMBEDDINGS, MANIFEST, WEIGHTS
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import replace_with

from ..bundle.artifact import write_weights
from ..bundle.folder import write_gene_lists
from ..model.base import Loaded, Origin
from ..model.checkpoint_files import finite, named, positive, read_json, read_state
from ..model.family import Family, NoOptions
from ..model.weights import Weights
from .mini import HEADLESS_CARD, TOKEN_HEAD, FinishedGenes, MiniBackbone, MiniConfig

METADATA_FILE = "pretrained.json"
LICENCE = "LICENSE"
OF_THE_EXPORT = ("exported_with", "cautions", "notice")  # provenance that every export states anew


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained backbone with its vocabulary, what is recorded of its training, and its licence's text."""

    backbone: MiniBackbone
    aliases: dict[str, str]
    context: list[str]
    metadata: dict[str, Any]
    embeddings: NDArray[np.float16] | None = None
    licence_text: str = ""


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the files of a checkpoint into an existing folder; ``pretrained.json`` last."""
    write_weights(checkpoint.backbone, folder / WEIGHTS)
    write_gene_lists(folder, checkpoint.backbone.symbols, checkpoint.context, checkpoint.aliases)
    if checkpoint.embeddings is not None:
        np.save(folder / EMBEDDINGS, checkpoint.embeddings)
    if checkpoint.licence_text:
        (folder / LICENCE).write_text(checkpoint.licence_text, encoding="utf-8")
    metadata = {"size": asdict(checkpoint.backbone.config), **checkpoint.metadata}
    text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
    replace_with(folder / METADATA_FILE, lambda part: part.write_text(text, encoding="utf-8"))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder, or an artifact with weights.

    Raises:
        InputError: a file is missing or does not fit the others.
    """
    if not folder.is_dir():
        message = f"{folder}: no such folder; expected one written by 'ugrn pretrain', or an artifact with weights"
        raise InputError(message)
    if (folder / MANIFEST).is_file() and not (folder / METADATA_FILE).exists():
        return _load_artifact(open_artifact(folder))
    path = folder / METADATA_FILE
    try:
        metadata = read_json(path)
        size = _size(named(metadata.pop("size", None), path), path)
        symbols = read_lines(folder / "genes.txt")
        aliases = read_aliases(folder / "aliases.tsv")
        backbone = _load_backbone(folder, size, symbols)
        context = read_lines(folder / "context.txt")
        embeddings = np.load(folder / EMBEDDINGS, allow_pickle=False) if (folder / EMBEDDINGS).exists() else None
        licence = _licence(folder)
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        message = f"{folder}: not a pretrained mini backbone ({error}); expected a folder written by 'ugrn pretrain'"
        raise InputError(message) from error
    return Checkpoint(backbone, aliases, context, metadata, embeddings, licence)


def load(folder: Path, options: NoOptions) -> Loaded:
    """Read a checkpoint folder, or an artifact that holds weights; raises as `load_checkpoint`."""
    checkpoint = load_checkpoint(folder)
    licence = checkpoint.metadata.pop("licence", "")
    origin = Origin(checkpoint.aliases, licence, checkpoint.licence_text, checkpoint.metadata)
    return Loaded(checkpoint.backbone, origin, checkpoint.context, checkpoint.embeddings)


FAMILY = Family(NoOptions, load)


def _load_artifact(artifact: Artifact) -> Checkpoint:
    """The checkpoint in an artifact whose files were verified."""
    folder, manifest, names = artifact.folder, artifact.manifest, artifact.names
    if manifest.backbone != "mini" or WEIGHTS not in manifest.files:
        kind = "an adapted artifact" if "adapter" in manifest.provenance else "an artifact"
        message = (
            f"{folder}: {kind} of {manifest.backbone} without the weights of a mini backbone "
            f"({WEIGHTS}), which 'ugrn export mini' writes; give the checkpoint folder it was exported from"
        )
        raise InputError(message)
    shape = manifest.shape
    try:
        size = MiniConfig(shape.width, shape.layers, shape.heads, shape.feedforward, text_width=0)
        backbone = _load_backbone(folder, size, names.symbols)
        licence = _licence(folder)
    except ValueError as error:
        message = f"{folder / WEIGHTS}: does not fit the shape in {MANIFEST} ({error}); get the artifact again"
        raise InputError(message) from error
    provenance = {name: each for name, each in manifest.provenance.items() if name not in OF_THE_EXPORT}
    context = [names.symbols[row] for row in artifact.context]
    metadata = {**provenance, "licence": manifest.licence}
    return Checkpoint(backbone, names.aliases, context, metadata, artifact.embeddings, licence)


def _size(recorded: Mapping[str, Any], path: Path) -> MiniConfig:
    width, layers, heads, feedforward = (
        positive(recorded, name, path) for name in ("width", "layers", "heads", "feedforward")
    )
    return MiniConfig(width, layers, heads, feedforward, int(finite(recorded, "text_width", path, 0)))


def _load_backbone(folder: Path, size: MiniConfig, symbols: list[str]) -> MiniBackbone:
    weights = Weights(read_state(folder / WEIGHTS), Path(WEIGHTS), "mini")
    # Before a model of these sizes is made: it could be of any size.
    weights.check({"genes.table": (len(symbols), size.width)})
    weights.check({f"stack.{size.layers - 1}.expand.weight": (size.feedforward, size.width)})
    backbone = MiniBackbone(size, symbols, FinishedGenes(len(symbols), size.width))
    own = backbone.state_dict()
    absent = () if any(name in weights for name in TOKEN_HEAD) else TOKEN_HEAD
    weights.fill(backbone, {name: name for name in own if name not in absent})
    weights.finish()
    for name in absent:
        own[name].zero_()
    if not any(own[name].any() for name in TOKEN_HEAD):
        backbone.card = HEADLESS_CARD
    return backbone.eval()


def _licence(folder: Path) -> str:
    path = folder / LICENCE
    return path.read_text(encoding="utf-8") if path.is_file() else ""
