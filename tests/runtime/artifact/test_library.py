"""Where artifacts are found: folders, names, pins."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from ugrn.runtime import ArtifactError, InputError, bundled_artifact, find_artifact, load
from ugrn.runtime.artifact.library import InstalledArtifact, installed, locate, user_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder."""
    monkeypatch.setenv("UGRN_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "artifacts").mkdir(parents=True)
    return tmp_path / "home"


def test_a_folder_comes_before_a_name_and_the_users_name_before_the_bundled(
    home: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate() == InstalledArtifact("mini", "bundled", bundled_artifact())
    assert locate("mini").folder == bundled_artifact()
    mine = shutil.copytree(artifact, home / "artifacts" / "mini")
    assert locate("mini") == InstalledArtifact("mini", "user", mine)
    assert locate() == InstalledArtifact("mini", "bundled", bundled_artifact())
    shutil.copytree(artifact, "mini")
    assert locate("mini") == InstalledArtifact("mini", "folder", Path("mini"))
    assert locate(artifact).folder == artifact
    assert load(str(artifact)).artifact.folder == artifact


def test_an_empty_folder_does_not_hide_a_name(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mini").mkdir()
    assert locate("mini").place == "bundled"
    with pytest.raises(ArtifactError, match=r"no artifact\.json"):
        find_artifact(Path("mini"))


def test_what_is_listed(home: Path, artifact: Path) -> None:
    hub = home / "hub" / "lab" / "net" / ("a" * 40)
    for folder in (home / "artifacts" / "b", home / "artifacts" / "a", home / "artifacts" / ".c.ugrn-tmp", hub):
        shutil.copytree(artifact, folder)
    (home / "artifacts" / "notes").mkdir()
    shutil.copytree(artifact, hub.with_name(".fetching-x") / "artifact")
    found = installed()
    assert [(each.name, each.place) for each in found] == [
        ("a", "user"),
        ("b", "user"),
        ("mini", "bundled"),
        (f"lab/net@{'a' * 40}", "hub"),
    ]
    assert [locate(each.name).folder for each in found] == [each.folder for each in found]


def test_a_pin_must_be_the_manifests_hash(home: Path, artifact: Path) -> None:
    digest = find_artifact(artifact).digest
    assert find_artifact(f"{artifact}#sha256={digest}").folder == artifact
    shutil.copytree(artifact, home / "artifacts" / "named")
    assert find_artifact(f"named#sha256={digest}").digest == digest
    with pytest.raises(ArtifactError, match="was asked for"):
        find_artifact(f"mini#sha256={digest}")
    for wrong in (digest[:12], digest.upper(), "x" * 64):
        with pytest.raises(InputError, match="64 hex digits"):
            find_artifact(f"named#sha256={wrong}")


def test_an_unknown_name_says_which_are_known(home: Path, artifact: Path) -> None:
    shutil.copytree(artifact, home / "artifacts" / "mine")
    with pytest.raises(ArtifactError, match=r"here: mine, mini"):
        find_artifact("nine")
    with pytest.raises(ArtifactError, match=r"no artifact\.json"):
        find_artifact("")


def test_every_damaged_file_is_named(artifact: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(artifact, tmp_path / "copy"))
    (copy / "gdt.onnx").write_bytes(b"")
    (copy / "context.txt").unlink()
    with pytest.raises(ArtifactError) as caught:
        find_artifact(copy)
    assert "gdt.onnx: found 0 bytes" in str(caught.value)
    assert "context.txt: listed in the manifest but missing" in str(caught.value)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "{home}/.local/share/ugrn"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/ugrn"),
        ("linux", {"XDG_DATA_HOME": "relative"}, "{home}/.local/share/ugrn"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, "{home}/Library/Application Support/ugrn"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/ugrn"),
        ("win32", {}, "{home}/AppData/Local/ugrn"),
        ("linux", {"UGRN_HOME": "~/mine", "XDG_DATA_HOME": "/data"}, "{home}/mine"),
    ],
)
def test_the_users_folder_is_where_the_platform_has_it(
    platform: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("UGRN_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environment | {"HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert user_folder() == Path(expected.format(home=tmp_path))
