"""Small random backbones: large enough for every path, small enough for seconds."""

from __future__ import annotations

import torch

from ugrn.export.backbones.mini import FinishedGenes, MiniBackbone, MiniConfig
from ugrn.export.model.base import Origin

from .models import GENES

ORIGIN = Origin({"OLDNAME": "GENE5"}, "a licence", "the text of a licence\n")


def make_backbone(seed: int = 0, genes: int = GENES) -> MiniBackbone:
    """A mini backbone with random weights large enough for responses to be far from linear."""
    torch.manual_seed(seed)
    config = MiniConfig(width=16, layers=2, heads=2, feedforward=32, text_width=8)
    table = FinishedGenes(genes, config.width)
    table.table.normal_()
    backbone = MiniBackbone(config, [f"GENE{row}" for row in range(genes)], table)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.35 if parameter.dim() > 1 else 0.5)
    return backbone.eval()
