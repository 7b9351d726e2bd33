"""Backbones with random weights: scGPT's size and checkpoint format, and the bundled mini's size; their artifacts."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ugrn.export.backbones.mini import FinishedGenes, MiniBackbone, MiniConfig
from ugrn.export.backbones.scgpt.checkpoint import load
from ugrn.export.backbones.scgpt.model import ScGPT
from ugrn.export.backbones.scgpt.parts import ScGPTOptions
from ugrn.export.bundle.artifact import ExportSettings, write_artifact
from ugrn.export.bundle.seal import add_translator
from ugrn.export.model.base import Origin
from ugrn.runtime import bundled_artifact, open_artifact

SPECIAL_TOKENS = 3


@dataclass(frozen=True)
class Size:
    """Of an scGPT; d_hid equals the width, as released. Fewer tokens than the released 60,697 keep the files small and
    change no time."""

    width: int = 512
    heads: int = 8
    layers: int = 12
    tokens: int = 20_003


def write_checkpoint(folder: Path, size: Size) -> None:
    """A checkpoint folder in the format of scGPT's authors."""
    width = size.width
    torch.manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.embedding.weight": (size.tokens, width),
        "flag_encoder.weight": (2, width),
    }
    shapes |= {"value_encoder.linear1.weight": (width, 1), "value_encoder.linear1.bias": (width,)}
    square = ["value_encoder.linear2", "decoder.fc.0", "decoder.fc.2", "mvc_decoder.gene2query"]
    norms = ["encoder.enc_norm", "value_encoder.norm"]
    for layer in range(size.layers):
        at = f"transformer_encoder.layers.{layer}."
        shapes |= {f"{at}self_attn.Wqkv.weight": (3 * width, width), f"{at}self_attn.Wqkv.bias": (3 * width,)}
        square += [f"{at}{name}" for name in ("self_attn.out_proj", "linear1", "linear2")]
        norms += [f"{at}norm1", f"{at}norm2"]
    for name in square:
        shapes |= {f"{name}.weight": (width, width), f"{name}.bias": (width,)}
    shapes |= {"decoder.fc.4.weight": (1, width), "decoder.fc.4.bias": (1,), "mvc_decoder.W.weight": (width, width)}
    state = {name: torch.randn(shape) * 0.04 for name, shape in shapes.items()}
    state |= {f"{name}.weight": torch.ones(width) for name in norms}
    state |= {f"{name}.bias": torch.zeros(width) for name in norms}
    folder.mkdir()
    torch.save(state, folder / "best_model.pt")
    names = {"embsize": width, "nheads": size.heads, "d_hid": width, "nlayers": size.layers, "pad_value": -2}
    (folder / "args.json").write_text(json.dumps(names))
    vocabulary = {f"GENE{row}": row for row in range(size.tokens - SPECIAL_TOKENS)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))


def random_scgpt(folder: Path, size: Size) -> ScGPT:
    """The backbone of a random checkpoint, which is written into `folder` unless it lies there."""
    if not folder.exists():
        write_checkpoint(folder, size)
    backbone = load(folder, ScGPTOptions()).backbone
    return backbone.requires_grad_(False)  # type: ignore[attr-defined,no-any-return]


def random_mini(genes: int) -> MiniBackbone:
    """A backbone of the bundled artifact's size, whose weights are not there as torch tensors."""
    torch.manual_seed(0)
    config = MiniConfig()
    table = FinishedGenes(genes, config.width)
    table.table.copy_(torch.randn(genes, config.width))
    return MiniBackbone(config, [f"GENE{row}" for row in range(genes)], table).eval().requires_grad_(False)


def write_scoring_artifact(backbone: ScGPT | MiniBackbone, folder: Path) -> None:
    """Its ``mvc`` artifact without a context of its own, with the bundled translator so that it can score."""
    write_artifact(backbone, folder, ExportSettings(readout="mvc"), Origin(provenance={"weights": "random"}))
    probes_alone = replace(open_artifact(bundled_artifact()).translator, product=None, shares=None)
    add_translator(folder, probes_alone, {})
