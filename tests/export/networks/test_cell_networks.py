"""The file of cell-specific networks: what is written is read, nothing half-written stays, bad files are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from ugrn.export.networks.cell_networks import CellNetworks, is_cell_networks, write_cell_networks
from ugrn.export.networks.network import Network, Regulons
from ugrn.runtime.errors import InputError

METADATA = {"artifact": "ab12", "cells": "cells.h5ad", "top_share": 0.05, "min_targets": 5, "network": {"edges": 9}}
NAMES = [f"GENE{row}" for row in range(40)]
CELLS = [f"cell{row}" for row in range(30)]


def made(random: np.random.Generator) -> tuple[Regulons, np.ndarray, np.ndarray]:
    """Regulons, activities and thresholds."""
    network = Network.of(random.integers(0, 9, 80), random.integers(0, 40, 80), 40)
    regulons = Regulons.of(network, random.random(len(network)).astype(np.float32), NAMES)
    activity = random.random((len(CELLS), len(regulons))).astype(np.float32)
    threshold = random.random(len(regulons)).astype(np.float32)
    threshold[:2] = -np.inf, np.inf
    return regulons, activity, threshold


def test_a_file_is_read_as_it_was_written(random: np.random.Generator, tmp_path: Path) -> None:
    regulons, activity, threshold = made(random)
    active = write_cell_networks(tmp_path / "net.h5", regulons, CELLS, activity, threshold, METADATA)
    assert [path.name for path in tmp_path.iterdir()] == ["net.h5"]
    found = CellNetworks.open(tmp_path / "net.h5")
    assert np.array_equal(active, activity > threshold)
    assert np.array_equal(found.active, active)
    assert np.array_equal(found.activity, activity)
    assert np.array_equal(found.threshold, threshold)
    assert (found.cells, found.metadata) == (CELLS, METADATA)
    assert np.array_equal(found.shares(), active.mean(0).astype(np.float32))
    for name in ("source", "indptr", "target", "weight"):
        assert np.array_equal(getattr(found.regulons, name), getattr(regulons, name))
    for cell in (0, 17):
        network = found.edges(cell)
        expected = [
            (regulons.genes[source], regulons.genes[target])
            for row, source in enumerate(regulons.source)
            if active[cell, row]
            for target in regulons.target[regulons.indptr[row] : regulons.indptr[row + 1]]
        ]
        names = found.regulons.genes
        assert [(names[s], names[t]) for s, t in zip(network.sources, network.targets, strict=True)] == expected
        assert np.array_equal(found.edges(CELLS[cell]).keys(), network.keys())
    with h5py.File(tmp_path / "net.h5") as file:
        assert (file["activity"].compression, file["activity"].shuffle) == ("gzip", True)


def test_regulons_keep_edges_and_weights_together(random: np.random.Generator) -> None:
    network = Network.of(random.integers(0, 9, 80), random.integers(0, 40, 80), 40)
    weights = network.keys().astype(np.float32)
    regulons = Regulons.of(network, weights, NAMES)
    chosen = random.random(len(regulons)) < 0.5
    chosen[0] = True
    kept = regulons.kept(chosen)
    rows = [NAMES.index(kept.genes[gene]) for gene in kept.source[kept.of_edge]]
    targets = [NAMES.index(kept.genes[gene]) for gene in kept.target]
    assert np.array_equal(np.array(rows) * 40 + np.array(targets), kept.weight)
    assert kept.sizes.sum() == regulons.sizes[chosen].sum()
    assert np.array_equal(kept.network.keys(), np.sort(kept.network.keys()))
    assert set(kept.genes) == {NAMES[row] for row in {*rows, *targets}}
    assert (Regulons.of(network, None, NAMES).weight == 1).all()


@pytest.mark.parametrize("stop", [OSError("disk full"), KeyboardInterrupt()])
def test_a_write_that_is_stopped_leaves_the_old_file(
    random: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    regulons, activity, threshold = made(random)
    write_cell_networks(tmp_path / "net.h5", regulons, CELLS, activity, threshold, METADATA)
    before = (tmp_path / "net.h5").read_bytes()
    create = h5py.Group.create_dataset

    def failing(group: h5py.Group, name: str, *args: object, **more: object) -> object:
        if name == "activity":
            raise stop
        return create(group, name, *args, **more)

    monkeypatch.setattr(h5py.Group, "create_dataset", failing)
    for name in ("net.h5", "new.h5"):
        with pytest.raises(type(stop)):
            write_cell_networks(tmp_path / name, regulons, CELLS, activity + 1, threshold, METADATA)
    assert [path.name for path in tmp_path.iterdir()] == ["net.h5"]
    assert (tmp_path / "net.h5").read_bytes() == before


def test_what_a_killed_write_left_is_cleared_by_the_next(random: np.random.Generator, tmp_path: Path) -> None:
    (tmp_path / ".net.h5.tmp").write_bytes(b"torn")
    regulons, activity, threshold = made(random)
    write_cell_networks(tmp_path / "net.h5", regulons, CELLS, activity, threshold, METADATA)
    assert [path.name for path in tmp_path.iterdir()] == ["net.h5"]


def _newer(file: h5py.File) -> None:
    file.attrs["format"] = 2


def _other(file: h5py.File) -> None:
    file.attrs["kind"] = "something"


def _without(file: h5py.File) -> None:
    del file["cells/regulon"]


def _outside(file: h5py.File) -> None:
    file["cells/regulon"][0] = 1000


def _negative(file: h5py.File) -> None:
    file["regulons/target"][0] = -1


def _short(file: h5py.File) -> None:
    weight = file["regulons/weight"][1:]
    del file["regulons/weight"]
    file["regulons/weight"] = weight


def _words(file: h5py.File) -> None:
    file.attrs["network"] = "{"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_newer, "format 2, and this ugrn reads formats 1 to 1"),
        (_other, "holds no cell-specific networks"),
        (_without, "not readable as cell-specific networks"),
        (_outside, "do not fit each other"),
        (_negative, "do not fit each other"),
        (_short, "do not fit each other"),
        (_words, "not readable as cell-specific networks"),
    ],
)
def test_bad_files_are_one_clear_error(
    random: np.random.Generator, tmp_path: Path, spoil: Callable[[h5py.File], None], words: str
) -> None:
    path = tmp_path / "net.h5"
    regulons, activity, threshold = made(random)
    threshold[:] = -np.inf
    write_cell_networks(path, regulons, CELLS, activity, threshold, METADATA)
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(InputError, match=words):
        CellNetworks.open(path)


def test_files_of_other_kinds(random: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    path.write_text("source,target\n")
    assert not is_cell_networks(path)
    with pytest.raises(InputError, match="not readable as cell-specific networks"):
        CellNetworks.open(path)
    regulons, activity, threshold = made(random)
    write_cell_networks(path, regulons, CELLS, activity, threshold, METADATA)
    assert is_cell_networks(path)
    with pytest.raises(InputError, match="no cell 'nobody' among its 30"):
        CellNetworks.open(path).edges("nobody")
