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
from ugrn.runtime.formats import replace_with

from ..backbones.base import Origin
from ..backbones.mini import FinishedGenes, MiniBackbone, MiniConfig

FACTS = "pretrained.json"


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
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    replace_with(folder / FACTS, lambda part: part.write_text(text, encoding="utf-8"))


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


def origin_of(checkpoint: Checkpoint, licence_text: str = "") -> Origin:
    """What an artifact says of the backbone it was exported from."""
    facts = dict(checkpoint.facts)
    return Origin(checkpoint.aliases, facts.pop("licence", ""), licence_text, facts)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]
