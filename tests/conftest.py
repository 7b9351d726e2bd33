"""Seeds, and the artifacts that most tests open; no test needs the network.

The fixtures of the export stage are in `tests.helpers.exporting`: without torch, the tests of the runtime run alone.
"""

from __future__ import annotations

import random as standard
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import numpy as np
import onnxruntime
import pytest

from tests.helpers import archive
from tests.helpers.models import METRICS, make_table, make_translator
from ugrn.export.bundle.seal import add_translator
from ugrn.runtime import RuntimeSettings, open_artifact
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.translator.translator import Translator

pytest_plugins = ["tests.helpers.exporting"] if find_spec("torch") else []
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.register_profile("soak", print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="of all random inputs; another one gives others (default 0)")
    parser.addoption("--soak", type=float, metavar="TIME", help="only what `make soak` runs, until this time")


def pytest_configure(config: pytest.Config) -> None:
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
    elif "published" not in config.option.markexpr:
        items[:] = [item for item in items if not item.get_closest_marker("published")]


def is_random(item: pytest.Item) -> bool:
    """True for tests that another seed changes, and for those of attacks and crashes."""
    drawn = "random" in getattr(item, "fixturenames", ()) or hypothesis.is_hypothesis_test(getattr(item, "obj", None))
    return drawn or item.path.parent.name in ("attacks", "crash")


def pytest_runtest_teardown(item: pytest.Item) -> None:
    end = item.config.getoption("--soak")
    if end and time.time() > end:
        item.session.shouldstop = "the time is over"


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest) -> int:
    """A number of the test and of ``--seed``, which all random generators begin with; a failing test prints it."""
    option = request.config.getoption("--seed")
    number = zlib.crc32(f"{option} {request.node.nodeid}".encode())
    print(f"seed {number}; repeat with --seed {option}")
    standard.seed(number)
    np.random.seed(number)  # of scikit-learn and others
    return number


@pytest.fixture(scope="session")
def new_translator() -> Callable[[int], Translator]:
    """Makes a random translator from a seed."""
    return make_translator


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
def waiting_threads_sleep() -> Iterator[None]:
    """Threads of onnxruntime that wait do not take the cores that other workers need; results are the same."""

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.add_session_config_entry("session.intra_op.allow_spinning", "0")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "SessionOptions", Options)
        yield


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
