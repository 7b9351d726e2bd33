"""Families of this package and of others: found by entry points, read one at a time, each broken for itself alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from ugrn.cli import export
from ugrn.export.adapter.adapt import open_base
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.backbones.mini_checkpoint import Checkpoint, save_checkpoint
from ugrn.export.registry import families, load_backbone
from ugrn.runtime.errors import InputError

Install = Callable[..., None]
MODULE = """
from dataclasses import dataclass
from pathlib import Path

from ugrn.export.backbones.mini_checkpoint import load_checkpoint
from ugrn.export.model.base import Loaded, Origin
from ugrn.export.model.family import Family


@dataclass(frozen=True)
class TheirOptions:
    depth: int = 1
    note: str | None = None


def load(folder: Path, options: TheirOptions) -> Loaded:
    provenance = {"depth": options.depth, "note": options.note}
    return Loaded(load_checkpoint(folder).backbone, Origin(provenance=provenance))


FAMILY = Family(TheirOptions, load)
NONSENSE = 3
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package of somebody else's: a module, and the metadata that pip would write."""

    def of(package: str, offers: dict[str, str], module: str = MODULE) -> None:
        site = tmp_path / package
        metadata = site / f"{package}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{package}.py").write_text(module)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in offers.items())
        (metadata / "entry_points.txt").write_text(f"[ugrn.backbones]\n{lines}")
        monkeypatch.syspath_prepend(str(site))

    return of


@pytest.fixture
def checkpoint(tmp_path: Path, new_backbone: Callable[[int], MiniBackbone]) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_checkpoint(Checkpoint(new_backbone(0), {}, [], {}), folder)
    return folder


def test_a_family_of_another_package_is_read(install: Install, checkpoint: Path) -> None:
    install("their_models", {"theirs": "their_models:FAMILY"})
    assert families()["theirs"] == ["their_models"]
    loaded = load_backbone("theirs", checkpoint, ["depth=4", "note=as it is"])
    assert loaded.origin.provenance == {"depth": 4, "note": "as it is"}
    assert len(loaded.backbone.symbols) == 60
    with pytest.raises(InputError, match="not an option of theirs.*one of: depth, note"):
        load_backbone("theirs", checkpoint, ["width=4"])


@pytest.mark.parametrize(
    ("value", "module", "words"),
    [
        ("broken:FAMILY", "import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("broken:FAMILY", "x = 1 / 0", "ZeroDivisionError"),
        ("broken:OTHER", MODULE, "AttributeError"),
        ("broken:NONSENSE", MODULE, "it is a int, expected a ugrn.export.model.family.Family"),
    ],
)
def test_a_broken_package_is_named_and_breaks_no_other(
    value: str, module: str, words: str, install: Install, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("broken", {"theirs": value}, module)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    with pytest.raises(InputError, match="package broken offers") as refused:
        load_backbone("theirs", checkpoint)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(load_backbone("mini", checkpoint).backbone.symbols) == 60
    with pytest.raises(InputError, match="'nonsense' is not known; expected one of adapted, .*theirs"):
        load_backbone("nonsense", checkpoint)


@pytest.mark.parametrize("name", ["mini", "adapted", "theirs"])
def test_a_name_that_two_packages_offer_is_refused_with_both(name: str, install: Install, checkpoint: Path) -> None:
    install("their_models", {name: "their_models:FAMILY"})
    others = ["ugrn"]
    if name == "theirs":
        install("more_models", {name: "more_models:FAMILY"})
        others = ["more_models"]
    with pytest.raises(InputError, match=f"'{name}' is offered by") as refused:
        load_backbone(name, checkpoint)
    assert all(package in str(refused.value) for package in ("their_models", *others))
    if name != "mini":
        assert len(load_backbone("mini", checkpoint).backbone.symbols) == 60


def test_a_bug_in_a_loader_is_no_users_mistake(install: Install, checkpoint: Path) -> None:
    install("their_models", {"theirs": "their_models:FAMILY"})
    load_backbone("theirs", checkpoint)
    import their_models  # type: ignore[import-not-found]

    def broken(folder: Path, options: Any) -> Any:
        raise error

    object.__setattr__(their_models.FAMILY, "load", broken)
    for error in (TypeError("a bug"), AttributeError("a bug"), RuntimeError("a bug"), KeyError("a bug")):
        with pytest.raises(type(error), match="a bug"):
            load_backbone("theirs", checkpoint)


def test_families_are_listed_without_torch_and_only_the_one_that_is_read_is_imported(checkpoint: Path) -> None:
    code = """
import sys
from ugrn.export.registry import families, load_backbone
print(*families())
assert "torch" not in sys.modules
load_backbone("mini", __import__("pathlib").Path(sys.argv[1]))
print(*(name for name in ("scgpt", "geneformer", "scbert") if any(name in each for each in sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, checkpoint], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["adapted geneformer mini scbenchmark scbert scfoundation scgpt", ""]


def test_the_help_of_export_names_the_families() -> None:
    root = Path(__file__).parents[2]
    ours = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]["ugrn.backbones"]
    assert {name for name, packages in families().items() if "ugrn" in packages} == {*ours, "adapted"}
    argument = get_type_hints(export.command, include_extras=True)["backbone"].__metadata__[0]
    assert all(f"{name}," in argument.help for name in (*ours, "adapted"))
    listed = (root / "docs" / "bring-your-own-checkpoint.md").read_text()
    assert all(f"| `{name}` |" in listed for name in ours if name != "mini")


@pytest.mark.parametrize("family", families())
def test_a_folder_that_is_not_there_is_named(family: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for name in ("nowhere", "file"):
        with pytest.raises(InputError, match=f"{name}: no such folder; expected"):
            load_backbone(family, tmp_path / name)
        if family != "adapted":
            with pytest.raises(InputError, match="no such folder"):
                open_base(str(tmp_path / name), family)
