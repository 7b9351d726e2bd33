"""Memory: budgets, running out of it, and the path that keeps arrays on a device."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ugrn.runtime import InputError, RuntimeSettings, load, open_artifact
from ugrn.runtime.engine import session
from ugrn.runtime.engine.grid import GRADIENT_GRAPH
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.engine.session import GraphSession
from ugrn.runtime.errors import DeviceMemoryError

SOURCES, TARGETS = np.arange(5, dtype=np.int32), np.arange(10, 40, dtype=np.int32)


class Cramped:
    """An onnxruntime session on a device that holds `most` values of one run."""

    def __init__(self, inner: Any, most: int) -> None:
        self.inner, self.most, self.refused = inner, most, 0

    def run(self, outputs: None, feeds: dict[str, Any], options: Any) -> Any:
        if feeds["levels"].size * feeds["targets"].size > self.most:
            self.refused += 1
            message = "BFCArena::AllocateRawInternal: Failed to allocate memory for requested buffer of size 123"
            raise RuntimeError(message)
        return self.inner.run(outputs, feeds, options)


@pytest.mark.parametrize("most", [2000, 150, 20, 9])
def test_running_out_of_memory_halves_the_block_and_goes_on(artifact: Path, most: int) -> None:
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu"))
    expected, budget = prober.cells(SOURCES, TARGETS), prober._budget
    cramped = prober.sessions[GRADIENT_GRAPH]._session = Cramped(prober.sessions[GRADIENT_GRAPH]._session, most)
    for found, known in zip(prober.cells(SOURCES, TARGETS), expected, strict=True):
        np.testing.assert_allclose(found, known, atol=1e-5)
    fits = len(SOURCES) * len(prober.grid.levels) * len(TARGETS) <= most
    assert (cramped.refused == 0) == fits
    assert (prober._budget == budget) == fits


class Counting:
    """An onnxruntime session that notes how many levels it is given."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.levels = inner, list[int]()

    def run(self, outputs: None, feeds: dict[str, Any], options: Any) -> Any:
        self.levels.append(feeds["levels"].shape[1])
        return self.inner.run(outputs, feeds, options)


@pytest.mark.parametrize(("fitting", "runs"), [(9, [9]), (8, [5, 4]), (4, [3, 3, 3]), (2, [2, 2, 2, 2, 1])])
def test_levels_that_do_not_fit_are_cut_into_runs_of_about_equal_size(
    artifact: Path, squeeze: Callable[[Path, int, int], None], fitting: int, runs: list[int]
) -> None:
    expected = Prober(open_artifact(artifact), RuntimeSettings("cpu")).cells(SOURCES[:1], TARGETS)
    squeeze(artifact, fitting, len(TARGETS))
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu"))
    counting = prober.sessions[GRADIENT_GRAPH]._session = Counting(prober.sessions[GRADIENT_GRAPH]._session)
    for found, known in zip(prober.cells(SOURCES[:1], TARGETS), expected, strict=True):
        np.testing.assert_allclose(found, known, atol=1e-5)
    assert counting.levels == runs


def test_no_memory_for_a_single_pair_is_an_error(artifact: Path) -> None:
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu"))
    prober.sessions[GRADIENT_GRAPH]._session = Cramped(prober.sessions[GRADIENT_GRAPH]._session, 0)
    with pytest.raises(DeviceMemoryError, match="1 sources and 1 targets"):
        prober.cells(SOURCES, TARGETS)


def test_other_failures_of_a_run_stay_what_they_are(artifact: Path) -> None:
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu"))
    with pytest.raises(Exception, match="indices element out of data bounds"):
        prober.cells(SOURCES + 1_000_000, TARGETS)


def test_arrays_bound_to_a_device_give_the_same(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a GPU, with the processor as the device."""
    prober = Prober(open_artifact(artifact), RuntimeSettings("cpu"))
    expected = prober.cells(SOURCES, TARGETS)
    monkeypatch.setattr(
        GraphSession, "run", lambda self, *arrays: self._run_bound(dict(zip(NAMES, arrays, strict=True)))
    )
    for sources in (SOURCES, SOURCES[::-1], SOURCES):
        for found, known in zip(prober.cells(sources, TARGETS), expected, strict=True):
            np.testing.assert_allclose(found[np.argsort(sources)], known, atol=1e-6)


NAMES = ("context", "context_values", "sources", "levels", "targets")


def test_the_budget_is_half_of_what_is_free_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert session.memory_budget(RuntimeSettings("cpu")) == 1 << 30
    assert session.memory_budget(RuntimeSettings("cpu", memory_mb=77)) == 77 << 20
    monkeypatch.setattr(session, "_providers", lambda ort, asked: ["cuda", "cpu"])

    def tell(free: Any, total: Any) -> int:
        free._obj.value = 40 << 30
        return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(cudaMemGetInfo=tell))
    assert session.memory_budget(RuntimeSettings("auto")) == 20 << 30
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(cudaMemGetInfo=lambda *_: 2))
    assert session.memory_budget(RuntimeSettings("auto")) == 1 << 30
    with pytest.raises(InputError, match="at least 16, or 0"):
        RuntimeSettings(memory_mb=8)


@pytest.mark.skipif(
    "CUDAExecutionProvider" not in session.import_onnxruntime().get_available_providers(), reason="no GPU"
)
def test_a_gpu_gives_what_the_processor_gives(artifact: Path) -> None:
    pairs = [("GENE1", f"GENE{target}") for target in range(10, 40)]
    found, expected = (load(artifact, provider=provider).score(pairs) for provider in ("cuda", "cpu"))
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-3)
