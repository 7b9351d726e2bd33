"""Tokens of a frozen backbone: against the model's own prediction, and units and genes against plain loops."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from bench.grnformer.tokens import frozen, in_units, known_genes, most_variable

from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.model.base import Loaded, Origin, VirtualCells
from ugrn.export.pretrain.corpus import CLIP
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames


@pytest.fixture(scope="module")
def opened(backbone: MiniBackbone) -> Any:
    return frozen(Loaded(backbone, Origin({"OLDNAME": "GENE5"})))


def test_cls_predicts_what_the_model_predicts(opened: Any, backbone: MiniBackbone, random: np.random.Generator) -> None:
    genes = random.choice(60, 7, replace=False)
    values = random.normal(size=(70, 7)).astype(np.float32)  # more than one batch
    tokens = opened.tokens(genes, values)
    assert tokens.shape == (70, 8, backbone.config.width)
    assert tokens.dtype == np.float16
    asked = torch.arange(60)
    for row in (0, 33, 69):
        source, level = torch.tensor(genes[:1]), torch.tensor(values[row, :1])
        context, shown = torch.tensor(genes[1:]), torch.tensor(values[row, 1:])
        with torch.no_grad():
            wanted = backbone.predict(VirtualCells(context, shown, source, level, source, 0.0), asked, "mvc")
            found = backbone.decode_cell(torch.tensor(tokens[row, :1].astype(np.float32)), asked)
        assert torch.allclose(found, wanted, atol=0.02)  # tokens are halves


def test_cells_may_show_genes_of_their_own(opened: Any, random: np.random.Generator) -> None:
    ids = np.array([[1], [5], [9]])
    values = random.normal(size=(3, 1)).astype(np.float32)
    together = opened.tokens(ids, values)
    for row in range(3):
        alone = opened.tokens(ids[row], values[row : row + 1])
        assert np.allclose(together[row].astype(np.float32), alone[0].astype(np.float32), atol=2e-3)


def test_a_model_without_cls_has_the_mean_of_its_genes(backbone: MiniBackbone, random: np.random.Generator) -> None:
    class NoCls(MiniBackbone):
        def cls_token(self) -> None:  # type: ignore[override]
            return None

    model = NoCls(backbone.config, backbone.symbols, backbone.genes)
    tokens = frozen(Loaded(model, Origin())).tokens(np.arange(4), random.normal(size=(3, 4)).astype(np.float32))
    wanted = tokens[:, 1:].astype(np.float64).mean(1)
    assert np.allclose(tokens[:, 0].astype(np.float64), wanted, atol=2e-3)


def test_a_backbone_that_is_no_transformer_over_genes_is_refused(backbone: MiniBackbone) -> None:
    other = SimpleNamespace(card=replace(backbone.card, name="other"), embed=None)
    with pytest.raises(InputError, match="other: has no layers, cls_token"):
        frozen(Loaded(other, Origin()))  # type: ignore[arg-type]


def test_z_scores_against_plain_loops(random: np.random.Generator) -> None:
    values = random.gamma(1.0, size=(30, 9)).astype(np.float32)
    values[:, 4] = 2.0
    found = in_units(values, "z-score", False, "made")
    varying = [gene for gene in range(9) if gene != 4]
    for cell in range(30):
        scores = {
            gene: (float(values[cell, gene]) - values[:, gene].mean(dtype=np.float64))
            / values[:, gene].std(dtype=np.float64)
            for gene in varying
        }
        mean = sum(scores.values()) / len(scores)
        wanted = [min(max(scores[gene] - mean, CLIP[0]), CLIP[1]) if gene in scores else 0.0 for gene in range(9)]
        assert np.allclose(found[cell], wanted, atol=1e-4)


def test_units_that_cannot_be_reached_are_refused() -> None:
    values = np.ones((3, 2), np.float32)
    assert np.array_equal(in_units(values, "ln-cp10k", False, "made"), values)
    with pytest.raises(InputError, match="made: holds z-scores"):
        in_units(values, "ln-cp10k", True, "made")
    with pytest.raises(InputError, match="not stated"):
        in_units(values, "", False, "made")
    with pytest.raises(InputError, match="cannot be brought to the backbone's units .ln-counts.; choose other tasks"):
        in_units(values, "ln-counts", False, "made")


def test_known_genes_are_distinct_and_known_to_all() -> None:
    one, two = GeneNames(["A1", "B2", "C3"], {"OTHER": "A1"}), GeneNames(["C3", "A1"])
    assert known_genes(["X9", "C3", "B2", "A1", "OTHER", "C3"], one, two).tolist() == [1, 3]
    assert known_genes(["B2", "OTHER", "A1"], one).tolist() == [0, 1]


def test_the_most_variable_genes_against_plain_loops(random: np.random.Generator) -> None:
    values = (random.normal(size=(40, 12)) * random.uniform(0.2, 3, 12)).astype(np.float32)
    left = [[float(v) - float(np.mean(row)) for v in row] for row in values]
    variances = [np.var([row[gene] for row in left]) for gene in range(12)]
    wanted = sorted(sorted(range(12), key=lambda gene: -variances[gene])[:5])
    assert most_variable(values, 5).tolist() == wanted
