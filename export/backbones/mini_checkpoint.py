"""A pretrained mini backbone on disk: the folder ``ugrn pretrain`` writes and ``ugrn export mini`` reads.

pretrained.json       size, settings, held-out scores, sources with their licences, readouts where not all can be had
weights.safetensors   parameters and the finished gene table
genes.txt             vocabulary, row = id
aliases.tsv           other name, symbol
context.txt           genes fit for a virtual cell's context, best first
embeddings.npy        gene embeddings whose products a translator may read
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from ugrn.runtime.artifact.folder import EMBEDDINGS, read_aliases, read_lines
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import replace_with

from ..bundle.folder import write_gene_lists
from ..model.base import Loaded, Origin
from ..model.family import Family, NoOptions
from .mini import CARD, FinishedGenes, MiniBackbone, MiniConfig

METADATA_FILE = "pretrained.json"


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained backbone with its vocabulary and what is recorded of its training."""

    backbone: MiniBackbone
    aliases: dict[str, str]
    context: list[str]
    metadata: dict[str, Any]
    embeddings: NDArray[np.float16] | None = None


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the files of a checkpoint into an existing folder; ``pretrained.json`` last."""
    save_file(checkpoint.backbone.state_dict(), folder / "weights.safetensors")
    write_gene_lists(folder, checkpoint.backbone.symbols, checkpoint.context, checkpoint.aliases)
    if checkpoint.embeddings is not None:
        np.save(folder / EMBEDDINGS, checkpoint.embeddings)
    metadata = {"size": asdict(checkpoint.backbone.config), **checkpoint.metadata}
    text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
    replace_with(folder / METADATA_FILE, lambda part: part.write_text(text, encoding="utf-8"))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        InputError: a file is missing or does not fit the others.
    """
    try:
        metadata = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
        size = MiniConfig(**metadata.pop("size"))
        symbols = read_lines(folder / "genes.txt")
        aliases = read_aliases(folder / "aliases.tsv")
        backbone = MiniBackbone(size, symbols, FinishedGenes(len(symbols), size.width))
        backbone.load_state_dict(load_file(folder / "weights.safetensors"))
        if "readouts" in metadata:  # of weights that were read back from a graph, which do not hold all heads
            backbone.card = replace(CARD, readouts={name: CARD.readouts[name] for name in metadata["readouts"]})
        context = read_lines(folder / "context.txt")
        embeddings = np.load(folder / EMBEDDINGS, allow_pickle=False) if (folder / EMBEDDINGS).exists() else None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        message = f"{folder}: not a pretrained mini backbone ({error}); expected a folder written by 'ugrn pretrain'"
        raise InputError(message) from error
    return Checkpoint(backbone.eval(), aliases, context, metadata, embeddings)


def origin_of(checkpoint: Checkpoint, licence_text: str = "") -> Origin:
    """What an artifact says of the backbone it was exported from."""
    metadata = dict(checkpoint.metadata)
    return Origin(checkpoint.aliases, metadata.pop("licence", ""), licence_text, metadata)


def load(folder: Path, options: NoOptions) -> Loaded:
    """Read a checkpoint folder; raises as `load_checkpoint`."""
    checkpoint = load_checkpoint(folder)
    return Loaded(checkpoint.backbone, origin_of(checkpoint), checkpoint.context, checkpoint.embeddings)


FAMILY = Family(NoOptions, load)
