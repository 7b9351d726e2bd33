"""Cells that are shown, and genes of them that are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ugrn.export.adapter.cells import TrainingCells, read_training_cells
from ugrn.export.adapter.train import AdaptConfig, draw_batch
from ugrn.export.backbones.mini import CARD
from ugrn.export.model.base import BackboneCard
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames

NAMES = GeneNames([f"GENE{gene}" for gene in range(60)])
LOGNORM = replace(CARD, scale="ln-cp10k", trained=(-np.inf, np.inf))
Written = Callable[..., Path]


def cells(write_cells: Written, values: np.ndarray, card: BackboneCard = LOGNORM) -> TrainingCells:
    return read_training_cells(write_cells("c.h5ad", values), NAMES, card)


def test_shown_and_asked_genes_are_of_the_cell(write_cells: Written, random: np.random.Generator) -> None:
    counts = random.poisson(2.0, (40, 60)).astype(np.float32)
    training = cells(write_cells, counts)
    logs = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    sizes = set()
    for _ in range(60):
        row = int(random.integers(40))
        shown = training.show(row, 32, 10, random)
        genes, asked = shown.genes.tolist(), shown.asked.tolist()
        assert len(set(genes + asked)) == len(genes) + len(asked)
        assert len(asked) == 10
        np.testing.assert_allclose(shown.values, logs[row, genes], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(shown.wanted, logs[row, asked], rtol=1e-4, atol=1e-5)
        sizes.add(len(genes))
        cell = shown.virtual_cell(1.0)
        assert cell.sources.tolist() == genes[:1]
        assert cell.context.tolist() == genes[1:]
        assert cell.levels.tolist() == shown.values.tolist()[:1]
    assert 1 in sizes
    assert max(sizes) > 10
    assert max(sizes) <= 30  # half of the genes


def test_what_a_backbone_does_not_know_is_neither_shown_nor_asked(write_cells: Written) -> None:
    random = np.random.default_rng(0)
    counts = random.poisson(0.7, (40, 60)).astype(np.float32)
    expressed = replace(LOGNORM, scale="bins", trained=(1.0, 50.0))  # a released scGPT
    training = cells(write_cells, counts, expressed)
    positive = replace(LOGNORM, range=(1e-9, np.inf))  # scFoundation: zero may be asked, and not shown
    other = cells(write_cells, counts, positive)
    zeros = 0
    for row in range(40):
        shown = training.show(row, 32, 60, random)
        assert min(shown.values.tolist() + shown.wanted.tolist()) >= 1
        assert set(shown.asked.tolist()) | set(shown.genes.tolist()) == set(np.flatnonzero(counts[row]).tolist())
        shown = other.show(row, 32, 60, random)
        assert min(shown.values.tolist()) > 0
        zeros += int((shown.wanted == 0).sum())
    assert zeros > 100
    counts[3] = 0
    counts[3, 5] = 40  # one expressed gene: nothing is left to ask
    fewer = cells(write_cells, counts, expressed)
    assert fewer.metadata["cells"] == 39
    assert "1 cells without a gene that can be shown were left out" in fewer.note


def test_something_is_left_to_be_asked_however_few_genes_a_cell_has(write_cells: Written) -> None:
    counts = np.zeros((30, 60), np.float32)
    for row in range(30):
        counts[row, [row, row + 7, row + 20][: 2 + row % 2]] = 5
    training = cells(write_cells, counts, replace(LOGNORM, scale="bins", trained=(1.0, 50.0)))
    random = np.random.default_rng(1)
    for row in np.repeat(np.arange(30), 20).tolist():
        shown = training.show(row, 32, 10, random)
        assert len(shown.genes) >= 1
        assert len(shown.asked) >= 1


def test_z_scores_are_cut_as_in_pretraining(write_cells: Written) -> None:
    values = np.random.default_rng(0).normal(5, 0.1, (100, 60)).astype(np.float32)
    values[7, 3] = 9.0
    training = cells(write_cells, values, CARD)
    assert training.values.max() == 6.0
    assert training.values.min() >= -4.0


def test_a_tenth_is_held_out_and_never_drawn(write_cells: Written) -> None:
    values = np.random.default_rng(0).lognormal(size=(50, 60)).astype(np.float32)
    values[:, 0] = np.arange(50)  # tells the cells apart
    values[:, 1] = 1.0  # does not vary
    training = cells(write_cells, values)
    assert training.held_out.sum() == 5
    assert training.metadata["held_out"] == 5
    assert training.metadata["genes"] == 59
    assert 1 not in training.genes
    config = AdaptConfig(cells=4, most_shown=29, asked=59)
    held = set(training.values[training.held_out][:, 0].tolist())
    seen = set()
    for step in range(40):
        for shown in draw_batch(step, training, config):
            both = zip([*shown.genes.tolist(), *shown.asked.tolist()], [*shown.values, *shown.wanted], strict=True)
            seen.add(dict((gene, float(value)) for gene, value in both)[0])
    assert not seen & held
    one, two = (draw_batch(3, training, config) for _ in range(2))
    assert all(torch.equal(a.genes, b.genes) and torch.equal(a.wanted, b.wanted) for a, b in zip(one, two, strict=True))
    assert not torch.equal(draw_batch(4, training, config)[0].asked, one[0].asked)


def test_cells_that_cannot_be_used_are_one_clear_error(write_cells: Written, tmp_path: Path) -> None:
    values = np.random.default_rng(0).lognormal(size=(30, 60)).astype(np.float32)
    with pytest.raises(InputError, match="19 cells found; at least 20"):
        cells(write_cells, values[:19])
    with pytest.raises(InputError, match="7 genes of the backbone's vocabulary vary"):
        cells(write_cells, values[:, :7])
    with pytest.raises(InputError, match="0 genes of the backbone's vocabulary vary"):
        cells(write_cells, np.ones((30, 60), np.float32))
    with pytest.raises(InputError, match="nothing of it is in"):
        read_training_cells(write_cells("o.h5ad", values[:, :3], ["A", "B", "C"]), NAMES, LOGNORM)
    with pytest.raises(InputError, match=r"0 cells have genes with values that mini knows, 90 to inf"):
        cells(write_cells, values, replace(LOGNORM, trained=(90.0, np.inf)))
    with pytest.raises(InputError, match="does not say how cells become its units"):
        cells(write_cells, values, replace(LOGNORM, scale=""))
    with pytest.raises(InputError, match=r"expected cells as \.h5ad"):
        read_training_cells(tmp_path / "c.csv", NAMES, LOGNORM)
    with pytest.raises(InputError, match="no such file"):
        read_training_cells(tmp_path / "absent.h5ad", NAMES, LOGNORM)
