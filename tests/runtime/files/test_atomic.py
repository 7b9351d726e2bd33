"""A file is old or whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ugrn.runtime.files.atomic import replace_with


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("old")

    def fail(part: Path) -> None:
        part.write_text("half")
        message = "disk full"
        raise OSError(message)

    with pytest.raises(OSError, match="disk full"):
        replace_with(path, fail)
    assert [each.name for each in tmp_path.iterdir()] == ["e.csv"]
    assert path.read_text() == "old"


def test_what_a_killed_run_left_is_cleared_up(tmp_path: Path) -> None:
    (tmp_path / ".e.csv.tmp").write_text("half of an earlier run, and longer")
    replace_with(tmp_path / "e.csv", lambda part: part.write_text("new"))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("e.csv", "new")]


def test_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, fsync, replace = [], os.fsync, Path.replace

    def synced(handle: int) -> None:
        steps.append("sync")
        fsync(handle)

    def renamed(part: Path, path: Path) -> Path:
        steps.append("rename")
        return replace(part, path)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    replace_with(tmp_path / "e.csv", lambda part: part.write_text("new"))
    assert steps == ["sync", "rename", *(["sync"] if os.name == "posix" else [])]
