"""Folders that take an old one's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ugrn.export.bundle.folder import check_folder, new_folder
from ugrn.runtime.errors import InputError


def test_a_folder_half_replaced_by_a_killed_run_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "art"
    (tmp_path / ".art.ugrn-old").mkdir()
    (tmp_path / ".art.ugrn-old" / "artifact.json").write_text("{}")
    (tmp_path / ".art.ugrn-tmp").mkdir()
    with new_folder(folder, overwrite=True) as part:
        assert (folder / "artifact.json").read_text() == "{}"
        (part / "artifact.json").write_text("new")
    assert (folder / "artifact.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["art"]


def test_a_failure_while_writing_keeps_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "art"
    folder.mkdir()
    (folder / "artifact.json").write_text("old")
    with pytest.raises(KeyboardInterrupt), new_folder(folder, overwrite=True):
        raise KeyboardInterrupt
    assert (folder / "artifact.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["art"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="not an artifact"):
        check_folder(tmp_path / "file", overwrite=True)
