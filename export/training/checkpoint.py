"""A pretrained mini backbone on disk: the folder ``ugrn pretrain`` writes and ``ugrn export mini`` reads.

pretrained.json       size, settings, held-out scores, sources with their licences
weights.safetensors   parameters and the finished gene table
genes.txt             vocabulary, row = id
aliases.tsv           other name, symbol
context.txt           genes fit for a virtual cell's context, best first
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file, save_file

from ugrn.runtime.errors import InputError

from ..backbones.base import Origin
from ..backbones.mini import FinishedGenes, MiniBackbone, MiniConfig

FACTS = "pretrained.json"
LICENCE = """\
The weights in this folder are licensed under the Creative Commons Attribution-ShareAlike 4.0 International
licence (CC BY-SA 4.0): https://creativecommons.org/licenses/by-sa/4.0/legalcode

They were trained on the expression sources listed in MODEL_CARD.md, among them data of the Human Protein
Atlas (CC BY-SA), and on gene names from NCBI (public domain), HGNC (CC0) and MGI (CC BY 4.0). The code of
ugrn is under the MIT licence.
"""


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained backbone with its vocabulary and what is recorded of its training."""

    backbone: MiniBackbone
    aliases: dict[str, str]
    context: list[str]
    facts: dict[str, Any]


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the files of a checkpoint into an existing folder; ``pretrained.json`` last."""
    save_file(checkpoint.backbone.state_dict(), folder / "weights.safetensors")
    _write_lines(folder / "genes.txt", checkpoint.backbone.symbols)
    _write_lines(folder / "context.txt", checkpoint.context)
    _write_lines(folder / "aliases.tsv", [f"{name}\t{gene}" for name, gene in checkpoint.aliases.items()])
    facts = {"size": asdict(checkpoint.backbone.config), **checkpoint.facts}
    (folder / FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        InputError: a file is missing or does not fit the others.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        size = MiniConfig(**facts.pop("size"))
        symbols = _lines(folder / "genes.txt")
        aliases = dict(line.split("\t", 1) for line in _lines(folder / "aliases.tsv"))
        backbone = MiniBackbone(size, symbols, FinishedGenes(len(symbols), size.width))
        backbone.load_state_dict(load_file(folder / "weights.safetensors"))
        context = _lines(folder / "context.txt")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        message = f"{folder}: not a pretrained mini backbone ({error}); expected a folder written by 'ugrn pretrain'"
        raise InputError(message) from error
    return Checkpoint(backbone.eval(), aliases, context, facts)


def origin_of(checkpoint: Checkpoint) -> Origin:
    """What an artifact says of the backbone it was exported from."""
    return Origin(checkpoint.aliases, LICENCE, checkpoint.facts)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]
