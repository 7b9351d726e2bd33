"""The folder of a run: one process at a time, and shards that outlive it."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ugrn.runtime import InputError
from ugrn.runtime.runs import store
from ugrn.runtime.runs.store import LOCK, RunFolder

HOLD = """
import sys
from pathlib import Path
from ugrn.runtime.runs.store import RunFolder
with RunFolder(Path(sys.argv[1])) as folder:
    folder.start("a", {})
    folder[0] = {}
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_of_one_run_at_a_time(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "e.csv") as folder:
        folder.start("a", {})
        with pytest.raises(InputError, match=f"in use by another run to the same output, process {os.getpid()};"):
            RunFolder(tmp_path / "e.csv").__enter__()
        with RunFolder(tmp_path / "other.csv") as other:
            other.remove()
    with RunFolder(tmp_path / "e.csv") as folder:
        folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, tmp_path / "e.csv"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {holder.pid};"), RunFolder(tmp_path / "e.csv"):
            pass
        holder.kill()
    with RunFolder(tmp_path / "e.csv") as folder:
        assert (folder.path / LOCK).read_text() == str(os.getpid())
        folder.start("a", {})
        assert 0 in folder
        assert (folder.resumed, folder.started_over) == (1, False)


def test_a_lock_whose_file_was_deleted_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking the file, the run before ends and deletes the folder."""
    calls: list[int] = []

    def lock(file: Any, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            (tmp_path / "e.csv.run" / LOCK).unlink()
            (tmp_path / "e.csv.run").rmdir()

    monkeypatch.setattr(fcntl, "flock", lock)
    with RunFolder(tmp_path / "e.csv") as folder:
        assert (folder.path / LOCK).read_text() == str(os.getpid())
    assert len(calls) == 2


def test_the_next_run_may_move_in_while_the_folder_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as later, RunFolder(tmp_path / "e.csv") as first:
        first.start("a", {})
        unlink = Path.unlink

        def unlink_and_move_in(path: Path, missing_ok: bool = False) -> None:
            unlink(path, missing_ok)
            if path.name == LOCK:
                monkeypatch.setattr(Path, "unlink", unlink)
                later.enter_context(RunFolder(tmp_path / "e.csv")).start("b", {})

        monkeypatch.setattr(Path, "unlink", unlink_and_move_in)
        first.remove()
    assert (first.path / "fingerprint").read_text() == "b"


@pytest.mark.parametrize("code", store.NO_LOCKS)
def test_a_file_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(file: Any, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with RunFolder(tmp_path / "e.csv") as folder:
        folder.start("a", {})
        folder.remove()
    assert list(tmp_path.iterdir()) == []
    code = errno.EIO
    with pytest.raises(OSError, match=os.strerror(code)):
        RunFolder(tmp_path / "e.csv").__enter__()


def test_a_system_without_fcntl_has_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "fcntl", None)
    with RunFolder(tmp_path / "e.csv") as folder:
        folder.start("a", {})
        assert [path.name for path in folder.path.iterdir()] == ["fingerprint"]
        folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_fingerprint_starts_anew(tmp_path: Path) -> None:
    written: list[str] = []

    def write(path: Path) -> None:
        written.append(path.name)
        with h5py.File(path, "w"):
            pass

    for fingerprint, resumed, started_over in (("a", 0, False), ("a", 1, False), ("b", 0, True)):
        with RunFolder(tmp_path / "e.csv") as folder:
            folder.start(fingerprint, {"pairs.h5": write})
            assert (3 in folder) == (resumed > 0)
            assert (folder.resumed, folder.started_over) == (resumed, started_over)
            folder[3] = {"row": np.arange(5), "value": np.ones((2, 2), np.float32)}
            read = folder[3]
            np.testing.assert_array_equal(read["row"], np.arange(5))
            np.testing.assert_array_equal(read["value"], np.ones((2, 2), np.float32))
    assert len(written) == 2


def test_a_foreign_folder_of_the_runs_name_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "e.csv.run"
    foreign.mkdir()
    (foreign / "data").write_text("precious")
    (tmp_path / "f.csv.run").write_text("precious")
    for name in ("e.csv", "f.csv"):
        with pytest.raises(InputError, match="in the way"):
            RunFolder(tmp_path / name).__enter__()
    assert [path.name for path in foreign.iterdir()] == ["data"]
    assert (foreign / "data").read_text() == (tmp_path / "f.csv.run").read_text() == "precious"
