"""Fixtures of the export stage: random backbones, and graphs that one run exports once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.helpers.backbones import ORIGIN, make_backbone
from tests.helpers.exports import shared_exports
from tests.helpers.models import CONTEXT
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.bundle import artifact as bundle
from ugrn.export.bundle.artifact import ExportSettings, write_artifact
from ugrn.export.graph.probe import Probe

MARKED_SLOW = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MARKED_SLOW] = False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[MARKED_SLOW] = item.get_closest_marker("slow") is not None


@pytest.fixture(autouse=True)
def torch_seed(seed: int) -> Iterator[None]:
    """torch draws the same numbers in every run, and commands that set its threads set them for themselves only."""
    torch.manual_seed(seed)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def new_backbone() -> Callable[[int], MiniBackbone]:
    """Makes a random backbone from a seed."""
    return make_backbone


@pytest.fixture(scope="session")
def backbone() -> MiniBackbone:
    return make_backbone()


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


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, backbone: MiniBackbone) -> Path:
    """The untrained artifact as today's code exports it, with TorchScript."""
    folder = tmp_path_factory.mktemp("exported") / "untrained"
    write_artifact(backbone, folder, ExportSettings(context=CONTEXT, torchscript=True), ORIGIN)
    return folder
