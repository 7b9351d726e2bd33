"""One adapter from files to a folder, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ugrn.runtime.artifact.library import find_artifact
from ugrn.runtime.artifact.manifest import MANIFEST
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames

from ..backbones.adapted.checkpoint import (
    METADATA_FILE,
    Adapted,
    Base,
    check_links,
    copy_checkpoint,
    refuse_adapted,
    save_adapted,
)
from ..backbones.mini_checkpoint import load_checkpoint, save_checkpoint
from ..bundle.folder import check_folder, new_folder
from ..model.adaptable import adaptable
from ..model.base import BackboneCard, Readout
from ..networks.network_files import read_network
from ..pretrain.loop import TrainingStatus
from ..registry import load_backbone
from .cells import read_training_cells
from .train import AdaptationTask, AdaptConfig, adapt

RESUME = "resume.pt"
NO_EXPRESSION = ("shift", "rank", "attn")
KIND = "an unfinished run of ugrn adapt"


def open_base(reference: str | None, family: str | None = None, settings: Sequence[str] = ()) -> Base:
    """Open the backbone that is to be adapted.

    Args:
        reference: a checkpoint folder, or an artifact with weights as for ``--artifact``; None takes the bundled one.
        family: of the checkpoint, mini if left out; where it is given, `reference` is a checkpoint.
        settings: ``name=value`` for the family's options.

    Raises:
        InputError: it cannot be read, or is an artifact without weights.
    """
    folder = Path(reference) if reference is not None else None
    if folder is not None and (family is not None or (folder.is_dir() and not (folder / MANIFEST).is_file())):
        family = family or "mini"
        refuse_adapted(family)
        loaded = load_backbone(family, folder, settings)
        check_links(folder)
        return Base(family, tuple(settings), loaded, partial(copy_checkpoint, folder), {"checkpoint": folder.name})
    if family is not None or settings:
        message = "--family and --set are for checkpoint folders; give one, or leave them out for an artifact"
        raise InputError(message)
    artifact = find_artifact(reference)
    loaded = load_backbone("mini", artifact.folder)
    kept = load_checkpoint(artifact.folder)  # a second one: training may change the first
    metadata = {"artifact": artifact.folder.name, "sha256": artifact.digest}
    return Base("mini", (), loaded, partial(save_checkpoint, kept), metadata)


def adapt_to_folder(
    base: Base,
    networks: Sequence[Path],
    cells: Path,
    folder: Path,
    readout: str | None,
    config: AdaptConfig,
    threads: int,
    report: Callable[[TrainingStatus], None],
    notify: Callable[[str], None],
    every: int = 100,
) -> dict[str, Any]:
    """Train an adapter and write its folder. A folder that holds an unfinished run is resumed.

    Args:
        networks: files, see `read_network`; each is a network of its own, whose structures are summed.
        cells: ``.h5ad``.
        readout: that is trained and exported; None takes the backbone's default.
        threads: of torch; 0 leaves it to torch.
        every: steps between saved states.

    Returns:
        The run's record.

    Raises:
        InputError: an input cannot be used, or `folder` holds something else than an unfinished run.
    """
    check_output(folder)
    loaded = base.loaded
    card = loaded.backbone.card
    read_at = expression_readout(card, readout)
    backbone = adaptable(loaded.backbone)
    if threads:
        torch.set_num_threads(threads)
    names = GeneNames(loaded.backbone.symbols, loaded.origin.aliases)
    files = [read_network(path, names) for path in networks]
    training = read_training_cells(cells, names, card, config.seed)
    for note in (*(each.note for each in files), training.note):
        notify(note)
    task = AdaptationTask(backbone, read_at, files, training)
    adapter, held_out = adapt(task, config, folder / RESUME, report, every)
    metadata = {
        "base": dict(base.metadata),
        "networks": [each.metadata for each in files],
        "cells": training.metadata,
        "readout": read_at,
        "settings": asdict(config),
        "held_out": held_out,
    }
    with new_folder(folder, overwrite=True, ours=_is_unfinished, kind=KIND) as part:
        save_adapted(Adapted(base, read_at, adapter, files, config.unfreeze, metadata), part)
    return metadata


def check_output(folder: Path) -> None:
    """Refuse a folder that cannot become the run's.

    Raises:
        InputError: it holds a finished adapter or something else, or cannot be made.
    """
    if (folder / METADATA_FILE).exists():
        message = f"{folder}: holds a finished adapter; choose another folder with -o"
        raise InputError(message)
    check_folder(folder, overwrite=True, ours=_is_unfinished, kind=KIND)


def expression_readout(card: BackboneCard, readout: str | None) -> Readout:
    """The readout to train, which must predict expression.

    Raises:
        InputError: it does not, or the backbone does not have it.
    """
    chosen = card.offered(readout)
    if card.predicts or chosen in NO_EXPRESSION:
        what = card.predicts or f"at {chosen!r} no expression"
        message = f"{card.name} predicts {what}; an adapter is trained to predict the expression of genes"
        raise InputError(message)
    return chosen


def _is_unfinished(folder: Path) -> bool:
    return {path.name for path in folder.iterdir()} <= {RESUME, f".{RESUME}.tmp"}
