"""Adapters from files to folders: what is learned, what is written, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.checkpoints import FAMILIES
from ugrn.export.adapter.adapt import adapt_to_folder, expression_readout, open_base
from ugrn.export.adapter.cells import TrainingCells
from ugrn.export.adapter.held_out import evaluation_lines
from ugrn.export.adapter.train import AdaptationTask, AdaptConfig, adapt
from ugrn.export.backbones.adapted.backbone import AdaptedBackbone
from ugrn.export.backbones.mini import FinishedGenes, MiniBackbone, MiniConfig
from ugrn.export.backbones.mini_checkpoint import Checkpoint, save_checkpoint
from ugrn.export.networks.network import Network, WeightedNetwork, rewired
from ugrn.export.pretrain.loop import TrainingStatus
from ugrn.export.registry import load_backbone
from ugrn.runtime import bundled_artifact, open_artifact
from ugrn.runtime.errors import InputError

GENES, MODULES = 60, 6
Written = Callable[..., Path]
SMALL = AdaptConfig(steps=6, cells=2, asked=20, evaluated=8, rate=5e-3)
PLANTED = [(gene % MODULES, gene) for gene in range(MODULES, GENES)]


def planted_values(cells: int, seed: int) -> np.ndarray:
    """Cells in which every regulator (the first genes) drives the genes with its remainder; as if log-normalised."""
    random = np.random.default_rng(seed)
    drive = random.normal(size=(cells, MODULES))
    values = drive[:, np.arange(GENES) % MODULES] + 0.5 * random.normal(size=(cells, GENES))
    return np.maximum(4 + values, 0).astype(np.float32)


@pytest.fixture
def checkpoint(tmp_path: Path, new_backbone: Callable[[int], MiniBackbone]) -> Path:
    folder = tmp_path / "pre"
    folder.mkdir()
    metadata = {"licence": "MIT", "gene_embeddings": "none"}
    table = np.random.default_rng(1).normal(size=(GENES, 4)).astype(np.float16)
    save_checkpoint(Checkpoint(new_backbone(1), {"OLD": "GENE1"}, ["GENE5", "GENE6"], metadata, table), folder)
    return folder


@pytest.fixture
def cells(write_cells: Written) -> Path:
    return write_cells("cells.h5ad", planted_values(60, 0))


@pytest.fixture
def network(write_edges: Written) -> Path:
    return write_edges("network.csv", PLANTED)


def run(
    checkpoint: Path | None,
    networks: list[Path],
    cells: Path,
    out: Path,
    config: AdaptConfig = SMALL,
    family: str | None = None,
    readout: str | None = None,
    report: Callable[[TrainingStatus], None] = lambda progress: None,
    every: int = 2,
) -> dict[str, Any]:
    base = open_base(None if checkpoint is None else str(checkpoint), family)
    return adapt_to_folder(base, networks, cells, out, readout, config, 1, report, lambda line: None, every)


def sparse_cells(cells: int, seed: int) -> np.ndarray:
    """Cells with one active module each, whose genes are nearly all there, and few others."""
    random = np.random.default_rng(seed)
    active = random.integers(MODULES, size=cells)
    there = random.random((cells, GENES)) < np.where(np.arange(GENES) % MODULES == active[:, None], 0.9, 0.1)
    return np.asarray(there * random.normal(2, 0.5, (cells, GENES)).clip(0.2), np.float32)


def wide_backbone(seed: int) -> MiniBackbone:
    """Knows nothing of the genes, and predicts anything that is written into its small `<cls>` output."""
    torch.manual_seed(seed)
    table = FinishedGenes(GENES, 64)
    table.table.normal_()
    made = MiniBackbone(MiniConfig(64, 2, 2, 128, 8), [f"GENE{gene}" for gene in range(GENES)], table)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1 if parameter.dim() > 1 else 0.5)
    with torch.no_grad():
        made.stack[-1].norm2.weight.mul_(0.1)
        made.stack[-1].norm2.bias.mul_(0.1)
        torch.nn.init.normal_(made.cell_query.weight)
        made.cell_query.bias.zero_()
    return made.eval()


@pytest.mark.slow
def test_the_planted_network_helps_more_than_a_random_one(tmp_path: Path) -> None:
    """Which genes are shown tells the active module to those who know the modules, and the network does.

    Without it the adapter has to learn by heart what every single gene stands for.
    """
    planted = Network.of(*np.array(PLANTED).T, GENES)
    cells = TrainingCells(
        sparse_cells(160, 5), np.arange(GENES), np.arange(160) % 2 == 0, (0.1, np.inf), (-np.inf, np.inf), {}, ""
    )
    config = AdaptConfig(steps=300, cells=8, asked=GENES, rate=1e-2, perturbation=0.0, evaluated=80)
    found = {}
    for name, network in (("planted", planted), ("random", rewired(planted, np.random.default_rng(6)))):
        task = AdaptationTask(wide_backbone(4), "mvc", [WeightedNetwork(network)], cells)
        found[name] = adapt(task, config, tmp_path / "resume.pt", lambda progress: None, every=1000)[1]
    error = {name: each["error"] for name, each in found.items()}
    assert error["planted"]["before"] == error["random"]["before"]
    assert error["random"]["after"] < error["random"]["before"]
    assert error["planted"]["after"] < error["random"]["after"] - 0.01
    for control in ("without_edges", "random_network"):
        more, standard_error = found["planted"]["more_than_after"][control]
        assert more == pytest.approx(error["planted"][control] - error["planted"]["after"])
        assert more > max(0.01, 2 * standard_error)


@pytest.mark.parametrize("unfreeze", [False, True])
def test_a_resumed_run_ends_with_the_same_bytes(
    unfreeze: bool, checkpoint: Path, cells: Path, network: Path, write_edges: Written, tmp_path: Path
) -> None:
    networks = [network, write_edges("second.csv", [(1, 2), (3, 4), (30, 3)])]
    config = replace(SMALL, unfreeze=unfreeze, steps=20)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    metadata = run(checkpoint, networks, cells, whole, config, every=5)

    def stop(progress: TrainingStatus) -> None:
        if progress.step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint, networks, cells, stopped, config, report=stop, every=5)
    assert [path.name for path in stopped.iterdir()] == ["resume.pt"]
    with pytest.raises(InputError, match="other settings"):
        run(checkpoint, networks[:1], cells, stopped, config)
    seen: list[int] = []
    again = run(checkpoint, networks, cells, stopped, config, report=lambda progress: seen.append(progress.step))
    assert seen == [20]
    assert again == metadata
    for name in ("adapter.safetensors", "network.parquet", "adapted.json"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_written_is_read_again(checkpoint: Path, cells: Path, network: Path, tmp_path: Path) -> None:
    metadata = run(checkpoint, [network], cells, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "adapted.json",
        "adapter.safetensors",
        "base",
        "network.parquet",
    ]
    for path in checkpoint.iterdir():
        assert (tmp_path / "out" / "base" / path.name).read_bytes() == path.read_bytes()
    table = pl.read_parquet(tmp_path / "out" / "network.parquet")
    assert set(table.select("source", "target").iter_rows()) == {(f"GENE{a}", f"GENE{b}") for a, b in PLANTED}
    assert table["level"].unique().to_list() == [0]
    loaded = load_backbone("adapted", tmp_path / "out")
    base = load_backbone("mini", checkpoint)
    assert isinstance(loaded.backbone, AdaptedBackbone)
    assert not loaded.backbone.training
    assert list(loaded.backbone.card.readouts)[0] == "mvc"
    assert loaded.context == base.context
    np.testing.assert_array_equal(cast(Any, loaded.embeddings), cast(Any, base.embeddings))
    assert loaded.origin.aliases == {"OLD": "GENE1"}
    assert loaded.origin.licence == "MIT"
    assert loaded.origin.provenance["gene_embeddings"] == "none"
    recorded = loaded.origin.provenance["adapter"]
    assert recorded == json.loads(json.dumps(metadata))
    assert recorded["networks"][0]["edges"] == len(PLANTED)
    assert recorded["cells"]["file"] == "cells.h5ad"
    assert recorded["base"] == {"checkpoint": "pre"}
    error = recorded["held_out"]["error"]
    assert set(error) == {"before", "after", "without_edges", "random_network"}
    assert error["before"] != error["after"]
    lines = evaluation_lines(recorded["held_out"])
    assert "backbone alone" in lines[1]
    assert len(lines) == 6


def test_the_frozen_backbone_stays_and_the_other_moves(
    checkpoint: Path, cells: Path, network: Path, tmp_path: Path
) -> None:
    base = cast(torch.nn.Module, load_backbone("mini", checkpoint).backbone)
    for unfreeze in (False, True):
        out = tmp_path / str(unfreeze)
        run(checkpoint, [network], cells, out, replace(SMALL, unfreeze=unfreeze))
        kept = cast(Any, load_backbone("adapted", out).backbone).backbone.state_dict()
        same = {name: torch.equal(kept[name], tensor) for name, tensor in base.state_dict().items()}
        assert all(same.values()) != unfreeze
        names = [name for name in load_file(out / "adapter.safetensors") if name.startswith("backbone.")]
        assert len(names) == (len(list(base.parameters())) if unfreeze else 0)
        assert same["genes.table"]


def test_an_artifact_with_weights_is_adapted(untrained: Path, cells: Path, network: Path, tmp_path: Path) -> None:
    metadata = run(untrained, [network], cells, tmp_path / "out")
    assert metadata["base"]["artifact"] == "untrained"
    loaded = load_backbone("adapted", tmp_path / "out")
    assert list(loaded.backbone.card.readouts)[0] == "mvc"
    assert loaded.origin.licence == "a licence"
    assert loaded.context == ["GENE3", "GENE7", "GENE50"]
    run(untrained, [network], cells, tmp_path / "along", replace(SMALL, unfreeze=True))
    weights = {
        out: [each.read_bytes() for each in sorted((tmp_path / out / "base").iterdir())] for out in ("out", "along")
    }
    assert weights["out"] == weights["along"]  # the base is what was adapted, before training
    assert run(untrained, [network], cells, tmp_path / "other", readout="masked")["readout"] == "masked"


def test_the_licence_of_an_artifact_goes_along(tmp_path: Path) -> None:
    base = open_base(None)
    assert base.metadata == {"artifact": "mini", "sha256": open_artifact(bundled_artifact()).digest}
    text = (bundled_artifact() / "LICENSE").read_text(encoding="utf-8")
    assert base.loaded.origin.licence_text == text
    assert base.loaded.origin.licence == "CC-BY-SA-4.0"
    base.write(tmp_path)
    assert (tmp_path / "LICENSE").read_text(encoding="utf-8") == text
    assert load_backbone("mini", tmp_path).origin == base.loaded.origin
    with pytest.raises(InputError, match="mini has no readout 'masked'; expected one of mvc, attn"):
        expression_readout(base.loaded.backbone.card, "masked")


@pytest.mark.parametrize("family", ["scgpt", "scbenchmark", "scfoundation", "scbert"])
def test_families_are_adapted(family: str, write_cells: Written, write_edges: Written, tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "checkpoint").mkdir()
    folder = FAMILIES[family](tmp_path / "checkpoint")
    symbols = load_backbone(family, folder).backbone.symbols
    counts = np.random.default_rng(0).poisson(3.0, (30, len(symbols) + 1)).astype(np.float32)
    counts[:, -1] = 5000.0  # of a gene that is none of the vocabulary: few are as much as scBERT can tell
    cells = write_cells("c.h5ad", counts, [*symbols, "NOSUCH"])
    network = tmp_path / "n.csv"
    network.write_text("source,target\n" + "".join(f"{symbols[a]},{symbols[a + 1]}\n" for a in range(8)))
    metadata = run(folder, [network], cells, tmp_path / "out", replace(SMALL, steps=3), family)
    assert all(np.isfinite(each) for each in metadata["held_out"]["error"].values())
    assert load_backbone("adapted", tmp_path / "out").backbone.symbols == symbols


def test_what_cannot_be_adapted_is_refused(
    checkpoint: Path, cells: Path, network: Path, untrained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="mini predicts at 'attn' no expression"):
        run(checkpoint, [network], cells, out, readout="attn")
    with pytest.raises(InputError, match="mini has no readout 'gen'"):
        run(checkpoint, [network], cells, out, readout="gen")
    torch.manual_seed(0)
    (tmp_path / "ranks").mkdir()
    FAMILIES["geneformer"](tmp_path / "ranks")
    with pytest.raises(InputError, match="geneformer predicts how likely a gene is at a place"):
        run(tmp_path / "ranks", [network], cells, out, family="geneformer")
    with pytest.raises(InputError, match="artifact.json found there"):
        open_base("nowhere")
    with pytest.raises(InputError, match="--family and --set are for checkpoint folders"):
        open_base(None, None, ["cls-value=1"])
    with pytest.raises(InputError, match="--family and --set are for checkpoint folders"):
        open_base(None, "scgpt")
    with pytest.raises(InputError, match="cannot be adapted again"):
        open_base(str(checkpoint), "adapted")
    bare = shutil.copytree(untrained, tmp_path / "bare")
    manifest = json.loads((bare / "artifact.json").read_text())
    del manifest["files"]["weights.safetensors"]
    (bare / "artifact.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="bare: an artifact of mini without the weights"):
        open_base(str(bare))
    assert not out.exists()


def test_folders_of_others_are_not_touched(checkpoint: Path, cells: Path, network: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mkdir"):
        run(checkpoint, [network], cells, tmp_path / "no" / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "resume.pt").write_text("x")
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="not an unfinished run of ugrn adapt"):
        run(checkpoint, [network], cells, tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    run(checkpoint, [network], cells, tmp_path / "empty")
    before = {path: path.read_bytes() for path in (tmp_path / "empty").rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="holds a finished adapter"):
        run(checkpoint, [network], cells, tmp_path / "empty")
    assert before == {path: path.read_bytes() for path in (tmp_path / "empty").rglob("*") if path.is_file()}


def test_links_that_lead_out_of_a_checkpoint_are_not_followed(
    checkpoint: Path, cells: Path, network: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("x")
    (checkpoint / "more.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=r"leads out of its folder.*cp -rL"):
        run(checkpoint, [network], cells, tmp_path / "out", replace(SMALL, steps=1))
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "out"))]
    (checkpoint / "more.txt").unlink()
    (checkpoint / "more.txt").symlink_to("genes.txt")
    (checkpoint / "deep").mkdir()
    run(checkpoint, [network], cells, tmp_path / "out", replace(SMALL, steps=1))
    copied = tmp_path / "out" / "base" / "more.txt"
    assert not copied.is_symlink()
    assert copied.read_text() == (checkpoint / "genes.txt").read_text()


def _change(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: cast(Any, (folder / name).write_bytes(content))


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _metadata(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        metadata = json.loads((folder / "adapted.json").read_text())
        (folder / "adapted.json").write_text(json.dumps(metadata | changes))

    return change


def _size(**changes: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        size = json.loads((folder / "adapted.json").read_text())["size"]
        _metadata(size=size | changes)(folder)

    return change


def _edges(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Path], None]:
    return lambda folder: change(pl.read_parquet(folder / "network.parquet")).write_parquet(folder / "network.parquet")


def _weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    path = "adapter.safetensors"
    return lambda folder: save_file(change(load_file(folder / path)), folder / path)


def _replace_by_link(folder: Path) -> None:
    shutil.move(folder / "base", folder.parent / "elsewhere")
    (folder / "base").symlink_to(folder.parent / "elsewhere")


DAMAGE = {
    "no facts": (_remove("adapted.json"), "not an adapted backbone"),
    "no json": (_change("adapted.json", b"{"), "not an adapted backbone"),
    "newer": (_metadata(format=9), "upgrade ugrn"),
    "other size": (_metadata(size={"width": 3}), "not an adapted backbone"),
    "size of no weights": (_size(structure=4 * 10**11), "not an adapted backbone"),
    "depth of no weights": (_size(depth=10**12), "not an adapted backbone"),
    "adapted twice": (_metadata(family="adapted"), "cannot be adapted again"),
    "other family": (_metadata(family="nonsense"), "'nonsense' is not known"),
    "other readout": (_metadata(readout="gen"), "readout 'gen'"),
    "no weights": (_remove("adapter.safetensors"), "not an adapted backbone"),
    "damaged weights": (_change("adapter.safetensors", b"x"), "not an adapted backbone"),
    "fewer weights": (_weights(lambda s: {k: v for k, v in s.items() if k != "adapter.beta"}), "do not fit"),
    "more weights": (_weights(lambda s: s | {"other": torch.zeros(1)}), "neither adapter nor backbone"),
    "other backbone": (_weights(lambda s: s | {"backbone.x": torch.zeros(1)}), "of another backbone"),
    "not finite": (_weights(lambda s: s | {"adapter.beta": torch.tensor(float("nan"))}), "NaN"),
    "no edges": (_change("network.parquet", b"x"), "not an adapted backbone"),
    "strange genes": (_edges(lambda t: t.with_columns(source=pl.lit("X"))), "do not fit"),
    "repeated edges": (_edges(lambda t: pl.concat([t, t])), "repeated"),
    "no levels": (_edges(lambda t: t.drop("level")), "do not fit"),
    "changed base": (_change("base/context.txt", b"GENE9\n"), "was changed since"),
    "lost base": (_remove("base/genes.txt"), "is missing or was changed"),
    "base elsewhere": (_replace_by_link, "no links"),
    "path": (_metadata(base={"../adapted.json": "0"}), "plain files inside"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, new_backbone: Callable[[int], MiniBackbone]) -> Path:
    """An adapted backbone."""
    import anndata
    import pandas as pd

    folder = tmp_path_factory.mktemp("finished")
    (folder / "pre").mkdir()
    save_checkpoint(Checkpoint(new_backbone(1), {}, [], {}), folder / "pre")
    var = pd.DataFrame(index=[f"GENE{gene}" for gene in range(GENES)])
    obs = pd.DataFrame(index=[str(row) for row in range(40)])
    anndata.AnnData(planted_values(40, 0), obs, var).write_h5ad(folder / "cells.h5ad")
    (folder / "net.csv").write_text("source,target\n" + "".join(f"GENE{a},GENE{b}\n" for a, b in PLANTED))
    run(folder / "pre", [folder / "net.csv"], folder / "cells.h5ad", folder / "out", replace(SMALL, steps=1))
    return folder / "out"


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_folders_are_one_clear_error(name: str, finished: Path, tmp_path: Path) -> None:
    damage, words = DAMAGE[name]
    folder = Path(shutil.copytree(finished, tmp_path / "out"))
    load_backbone("adapted", folder)
    damage(folder)
    with pytest.raises(InputError, match=words):
        load_backbone("adapted", folder)
