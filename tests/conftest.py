"""Small random backbones and artifacts, made once a session; no test needs the network."""

from __future__ import annotations

import os
import random as standard
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import onnxruntime
import pytest
import torch

from tests.helpers import archive
from tests.helpers.exports import shared_exports
from tests.helpers.models import CONTEXT, METRICS, make_backbone, make_table, make_translator
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.bundle import artifact as bundle
from ugrn.export.bundle.artifact import ExportSettings, add_translator, write_artifact
from ugrn.export.graph.probe import Probe
from ugrn.runtime import RuntimeSettings, open_artifact
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.translator.translator import Translator

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

MARKED_SLOW = pytest.StashKey[bool]()
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.register_profile("soak", print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="of all random inputs; another one gives others (default 0)")
    parser.addoption("--soak", type=float, metavar="TIME", help="only what `make soak` runs, until this time")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MARKED_SLOW] = False
    if config.getoption("--hypothesis-profile") is None:
        hypothesis.settings.load_profile("soak" if config.getoption("--seed") else "fixed")


def pytest_report_header(config: pytest.Config) -> str:
    return f"random inputs: --seed {config.getoption('--seed')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker begins one when the others are done."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
    if config.getoption("--soak"):
        items[:] = [item for item in items if is_random(item)]
        standard.Random(config.getoption("--seed")).shuffle(items)
    elif "soak" not in config.option.markexpr:
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


def is_random(item: pytest.Item) -> bool:
    """True for tests that another seed changes, for those of attacks and crashes, and those kept for the soak."""
    drawn = "random" in getattr(item, "fixturenames", ()) or hypothesis.is_hypothesis_test(getattr(item, "obj", None))
    return drawn or item.path.parent.name in ("attacks", "crash") or item.get_closest_marker("soak") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[MARKED_SLOW] = item.get_closest_marker("slow") is not None


def pytest_runtest_teardown(item: pytest.Item) -> None:
    end = item.config.getoption("--soak")
    if end and time.time() > end:
        item.session.shouldstop = "the time is over"


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest) -> Iterator[int]:
    """A number of the test and of ``--seed``, which all random generators begin with; a failing test prints it."""
    option = request.config.getoption("--seed")
    number = zlib.crc32(f"{option} {request.node.nodeid}".encode())
    print(f"seed {number}; repeat with --seed {option}")
    torch.manual_seed(number)
    standard.seed(number)
    np.random.seed(number)  # of scikit-learn and others
    threads = torch.get_num_threads()
    yield number
    torch.set_num_threads(threads)  # commands that were told how many they may use keep to it


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
def graphs_are_exported_once(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers of one run share a folder of graphs; tests that are not marked slow export none."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports"
    export_once = shared_exports(bundle.export_onnx, folder)

    def export(probe: Probe, tangent: bool, path: Path) -> None:
        assert pytestconfig.stash[MARKED_SLOW], "a test that exports takes seconds: mark it slow"
        export_once(probe, tangent, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "export_onnx", export)
        yield


@pytest.fixture(scope="session", autouse=True)
def waiting_threads_sleep() -> Iterator[None]:
    """Threads of onnxruntime that wait do not take the cores that other workers need; results are the same."""

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.add_session_config_entry("session.intra_op.allow_spinning", "0")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "SessionOptions", Options)
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, backbone: MiniBackbone) -> Path:
    """The untrained artifact as today's code exports it, with TorchScript."""
    folder = tmp_path_factory.mktemp("exported") / "untrained"
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
