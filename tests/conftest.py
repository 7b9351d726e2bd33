"""Small random backbones and artifacts, made once a session; no test needs the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ugrn.export.backbones.mini import FinishedGenes, MiniBackbone, MiniConfig
from ugrn.export.bundle.artifact import ExportSettings, add_translator, write_artifact
from ugrn.export.model.base import Origin
from ugrn.runtime import RuntimeSettings, open_artifact
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.translator.mlp import Mlp
from ugrn.runtime.translator.translator import Calibration, Product, Translator

GENES = 60
CONTEXT = ("GENE3", "GENE7", "GENE50")
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


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


def make_translator(seed: int = 0) -> Translator:
    rng = np.random.default_rng(seed)

    def mlp() -> Mlp:
        shapes = ((8, 6), (6, 1))
        return Mlp(
            rng.normal(size=8).astype(np.float32),
            rng.uniform(0.5, 2, 8).astype(np.float32),
            tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes),
            tuple(rng.normal(size=shape[1]).astype(np.float32) for shape in shapes),
        )

    one = np.ones(1, np.float32)
    return Translator({"vvp": mlp(), "gdt": mlp()}, Calibration("platt", 0.8 * one, 0.1 * one), 0.5)


METRICS = {
    "vvp": {"validation_auprc": 0.6},
    "gdt": {"validation_auprc": 0.6},
    "ensemble": {"validation_auprc": 0.6},
    "calibration": {
        "kind": "platt",
        "before": {"ece": 0.1, "brier": 0.25},
        "after": {"ece": 0.05, "brier": 0.24},
    },
    "pairs": {"all_edges": 3, "train_edges": 1, "validation_edges": 1},
    "settings": {"negatives": "degree-aware"},
}


@pytest.fixture(scope="session")
def new_backbone() -> Callable[[int], MiniBackbone]:
    """Makes a random backbone from a seed."""
    return make_backbone


@pytest.fixture(scope="session")
def new_translator() -> Callable[[int], Translator]:
    """Makes a random translator from a seed."""
    return make_translator


@pytest.fixture(scope="session")
def backbone() -> MiniBackbone:
    return make_backbone()


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory, backbone: MiniBackbone) -> Path:
    """An artifact without a translator: mvc readout, three context genes."""
    folder = tmp_path_factory.mktemp("artifacts") / "untrained"
    settings = ExportSettings(context=CONTEXT, torchscript=True)
    write_artifact(backbone, folder, settings, Origin({"OLDNAME": "GENE5"}, "a licence\n", {}))
    return folder


@pytest.fixture(scope="session")
def artifact(untrained: Path) -> Path:
    """The same artifact with a random translator."""
    folder = untrained.with_name("trained")
    add_translator(untrained, make_translator(), METRICS, folder)
    return folder


@pytest.fixture(scope="session")
def table() -> np.ndarray:
    """Embeddings of the genes."""
    return np.random.default_rng(8).normal(size=(GENES, 7)).astype(np.float16)


@pytest.fixture(scope="session")
def joined(tmp_path_factory: pytest.TempPathFactory, backbone: MiniBackbone, table: np.ndarray) -> Path:
    """The trained artifact with embeddings, whose translator reads their products too."""
    rng = np.random.default_rng(4)
    folder = tmp_path_factory.mktemp("joined") / "a"
    write_artifact(backbone, folder, ExportSettings(context=CONTEXT, embeddings=table), Origin())
    product = Product(rng.normal(size=table.shape[1]).astype(np.float32), np.array([0.3], np.float32))
    shares = {"vvp": 0.1, "gdt": 0.2, "emb": 0.7}
    add_translator(folder, replace(make_translator(), product=product, shares=shares), METRICS)
    return folder


@pytest.fixture
def squeeze(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int, int], None]:
    """Leave runs of an artifact's graph memory for so many levels of one source with so many targets."""

    def leave(artifact: Path, levels: int, targets: int) -> None:
        small = levels * Prober(open_artifact(artifact), RuntimeSettings("cpu"))._level_bytes(targets)
        monkeypatch.setattr("ugrn.runtime.engine.probe.memory_budget", lambda settings: small)

    return leave


@pytest.fixture
def random() -> np.random.Generator:
    """Numbers that are new in every run; a failing test prints the seed."""
    seed = int(np.random.SeedSequence().entropy) % 2**32  # type: ignore[arg-type]
    print(f"seed {seed}")
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    if not (DATA / "beeline" / "edges.parquet").is_file():
        pytest.skip("the real data (shared/data beside the repository) is not here")
    return DATA
