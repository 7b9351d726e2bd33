"""Damaged and hostile artifact folders are refused with a named error, and nothing in them is executed."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ugrn.runtime import ArtifactError, load, open_artifact
from ugrn.runtime.artifact.manifest import FORMAT, file_entry


@pytest.fixture
def copy(artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(artifact, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "artifact.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def reseal(folder: Path, name: str) -> None:
    """Make the manifest agree with a changed file, as an attacker would."""
    edit(folder, lambda data: data["files"].update({name: file_entry(folder / name)}))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "newer format": (lambda d: d.update(format=FORMAT + 1), "upgrade"),
    "format zero": (lambda d: d.update(format=0), "formats 1 to"),
    "no format": (lambda d: d.pop("format"), "format"),
    "unknown entry": (lambda d: d.update(hook="run me"), "hook"),
    "missing entry": (lambda d: d.pop("readout"), "readout"),
    "levels of text": (lambda d: d.update(vvp_levels=["a"]), "incomplete"),
    "baseline of text": (lambda d: d.update(baseline="abc"), "incomplete"),
    "endless format": (lambda d: d.update(format=float("inf")), "format"),
    "level that is no number": (lambda d: d.update(gdt_levels=[float("nan")] * 8), "finite"),
    "unknown readout": (lambda d: d.update(readout="aura"), "aura"),
    "no width": (lambda d: d["shape"].update(width=0), "positive"),
    "path outside": (lambda d: d["files"].update({"../evil.onnx": {}}), "not known"),
    "unknown file": (lambda d: d["files"].update({"run.py": {}}), "run.py"),
    "graph not listed": (lambda d: d["files"].pop("gdt.onnx"), "gdt.onnx"),
    "files of text": (lambda d: d.update(files="all"), "incomplete"),
    "entry of text": (lambda d: d["files"].update({"gdt.onnx": "good"}), "incomplete"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_manifests_are_refused(copy: Path, name: str) -> None:
    change, words = CHANGES[name]
    edit(copy, change)
    with pytest.raises(ArtifactError, match=words):
        open_artifact(copy)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"format": "x"}', "\x00"])
def test_manifests_that_are_none_are_refused(copy: Path, text: str) -> None:
    (copy / "artifact.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"artifact\.json"):
        open_artifact(copy)


@pytest.mark.parametrize(
    "name", ["gdt.onnx", "vvp.onnx", "genes.txt", "translator.npz", "context.txt", "weights.safetensors"]
)
def test_damaged_and_missing_files_are_named(copy: Path, name: str) -> None:
    raw = (copy / name).read_bytes()
    flipped = bytes([raw[0] ^ 1]) + raw[1:]
    for content in (flipped, raw[:-1], raw + b"x"):
        (copy / name).write_bytes(content)
        with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
            open_artifact(copy)
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match="missing"):
        open_artifact(copy)


def test_an_artifact_that_names_a_pickle_is_not_unpickled(copy: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (mark,)

    bombs = {
        "object array": lambda file: np.savez(file, probes=np.array([Bomb()], dtype=object)),
        "pickle": lambda file: pickle.dump(Bomb(), file),
    }
    for write in bombs.values():
        with (copy / "translator.npz").open("wb") as file:
            write(file)
        reseal(copy, "translator.npz")
        with pytest.raises(ArtifactError, match="translator"):
            load(copy).score([("GENE1", "GENE2")])
        assert not mark.exists()


def test_levels_that_do_not_fit_the_translator_are_refused(copy: Path) -> None:
    edit(copy, lambda data: data.update(vvp_levels=[1.0]))
    with pytest.raises(ArtifactError, match="train it again"):
        load(copy).score([("GENE1", "GENE2")])


def test_a_graph_that_is_none_is_one_clear_error(copy: Path) -> None:
    (copy / "gdt.onnx").write_bytes(b"not a graph")
    reseal(copy, "gdt.onnx")
    with pytest.raises(ArtifactError, match=r"gdt\.onnx"):
        load(copy).score([("GENE1", "GENE2")])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("genes.txt", "A\nA\n", "distinct"),
        ("genes.txt", "", "distinct"),
        ("context.txt", "NOT_A_GENE\n", "context"),
        ("context.txt", "GENE1\nGENE1\n", "context"),
        ("aliases.tsv", "no tab here\n", "aliases"),
    ],
)
def test_inconsistent_lists_are_refused(copy: Path, name: str, text: str, words: str) -> None:
    (copy / name).write_text(text)
    reseal(copy, name)
    with pytest.raises(ArtifactError, match=words):
        open_artifact(copy)


def test_a_link_out_of_the_folder_is_refused(copy: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    shutil.move(copy / "genes.txt", outside)
    (copy / "genes.txt").symlink_to(outside)
    with pytest.raises(ArtifactError, match="link"):
        open_artifact(copy)


def test_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(ArtifactError, match="ugrn export"):
            open_artifact(path)
