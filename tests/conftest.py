"""Small random backbones and artifacts, made once a session; no test needs the network."""

from __future__ import annotations

import os
import random as standard
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from tests.helpers import archive
from tests.helpers.exports import shared_exports
from tests.helpers.models import CONTEXT, METRICS, make_backbone, make_table, make_translator
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.bundle import folder as bundle
from ugrn.export.bundle.folder import ExportSettings, add_translator, write_artifact
from ugrn.runtime import RuntimeSettings, open_artifact
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.translator.translator import Translator

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.register_profile("soak", print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="of all random inputs; another one gives others (default 0)")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--hypothesis-profile") is None:
        hypothesis.settings.load_profile("soak" if config.getoption("--seed") else "fixed")


def pytest_report_header(config: pytest.Config) -> str:
    return f"random inputs: --seed {config.getoption('--seed')}"


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest) -> int:
    """A number of the test and of ``--seed``, which all random generators begin with; a failing test prints it."""
    option = request.config.getoption("--seed")
    number = zlib.crc32(f"{option} {request.node.nodeid}".encode())
    print(f"seed {number}; repeat with --seed {option}")
    torch.manual_seed(number)
    standard.seed(number)
    np.random.seed(number)  # of scikit-learn and others
    return number


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
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kept artifact of the backbone without a translator: mvc readout, three context genes."""
    return archive.untrained(tmp_path_factory.mktemp("artifacts") / "untrained")


@pytest.fixture(scope="session")
def artifact(untrained: Path) -> Path:
    """The same artifact with a random translator."""
    folder = untrained.with_name("trained")
    add_translator(untrained, make_translator(), METRICS, folder)
    return folder


@pytest.fixture(scope="session")
def table() -> np.ndarray:
    """Embeddings of the genes."""
    return make_table()


@pytest.fixture(scope="session")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kept artifact as it is, whose translator reads products of embeddings too."""
    return shutil.copytree(archive.FORMAT_1, tmp_path_factory.mktemp("joined") / "a")


@pytest.fixture(scope="session", autouse=True)
def graphs_are_exported_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers of one run share a folder of graphs."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "export_onnx", shared_exports(bundle.export_onnx, folder))
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, backbone: MiniBackbone) -> Path:
    """The untrained artifact as today's code exports it, with TorchScript."""
    folder = tmp_path_factory.mktemp("exported") / "a"
    write_artifact(backbone, folder, ExportSettings(context=CONTEXT, torchscript=True), archive.ORIGIN)
    return folder


@pytest.fixture
def squeeze(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int, int], None]:
    """Leave runs of an artifact's graph memory for so many levels of one source with so many targets."""

    def leave(artifact: Path, levels: int, targets: int) -> None:
        small = levels * Prober(open_artifact(artifact), RuntimeSettings("cpu"))._level_bytes(targets)
        monkeypatch.setattr("ugrn.runtime.engine.probe.memory_budget", lambda settings: small)

    return leave


@pytest.fixture
def random(seed: int) -> np.random.Generator:
    """Random numbers, the same in every run with the same ``--seed``."""
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    if not (DATA / "beeline" / "edges.parquet").is_file():
        pytest.skip("the real data (shared/data beside the repository) is not here")
    return DATA
