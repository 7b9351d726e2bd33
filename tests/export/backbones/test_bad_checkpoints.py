"""Checkpoints that cannot be right: one clear error each, nothing written, nothing executed."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.helpers.checkpoints import FAMILIES
from ugrn.cli.main import app, run
from ugrn.export.registry import load_backbone
from ugrn.runtime.errors import InputError

WEIGHTS = {"scgpt": "best_model.pt", "scbenchmark": "best_model.pt", "scfoundation": "models.ckpt",
           "scbert": "panglao_pretrained.pth", "geneformer": "pytorch_model.bin"}  # fmt: skip
every_family = pytest.mark.parametrize("family", FAMILIES)


def refused(family: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The message of an export that must fail as the user's mistake, leaving nothing behind."""
    out = folder.parent / "artifact"
    monkeypatch.setattr("sys.argv", ["ugrn", "export", family, str(folder), "-o", str(out)])
    with pytest.raises(SystemExit) as stop:
        run()
    message = capsys.readouterr().err
    assert stop.value.code == 2, message
    assert "Traceback" not in message
    assert not list(folder.parent.glob("*artifact*"))
    return message


@pytest.fixture
def folder(tmp_path: Path, family: str) -> Path:
    torch.manual_seed(0)
    (tmp_path / "checkpoint").mkdir()
    return FAMILIES[family](tmp_path / "checkpoint")


def state_of(family: str, path: Path) -> tuple[dict, dict]:  # type: ignore[type-arg]
    """The saved object and the state dict in it."""
    whole = torch.load(path, weights_only=True)
    inner = {"scfoundation": lambda: whole["gene"]["state_dict"], "scbert": lambda: whole["model_state_dict"]}
    return whole, inner.get(family, lambda: whole)()


@every_family
def test_truncated_file(
    family: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / WEIGHTS[family]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert path.name in refused(family, folder, monkeypatch, capsys)


@every_family
def test_a_pickle_that_runs_code_is_not_run(
    family: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = folder.parent / "executed"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(marker),)

    torch.save({"weights": Hostile()}, folder / WEIGHTS[family])
    assert "more than tensors" in refused(family, folder, monkeypatch, capsys)
    (folder / WEIGHTS[family]).write_bytes(pickle.dumps(Hostile()))
    refused(family, folder, monkeypatch, capsys)
    assert not marker.exists()


@every_family
def test_non_finite_weights_are_named(
    family: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / WEIGHTS[family]
    whole, state = state_of(family, path)
    key = next(key for key in sorted(state) if "norm" in key.lower() and key.endswith("bias"))
    state[key][0] = float("nan")
    torch.save(whole, path)
    message = refused(family, folder, monkeypatch, capsys)
    if "layer_norm" not in key:  # scBenchmark's unused one
        assert key.removeprefix("module.").removeprefix("model.") in message


@every_family
@pytest.mark.parametrize("change", ["missing", "surplus"])
def test_missing_and_surplus_keys_are_named(
    family: str, folder: Path, change: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / WEIGHTS[family]
    whole, state = state_of(family, path)
    prefix = {"scbenchmark": "module.", "scfoundation": "model."}.get(family, "")
    if change == "missing":
        ignored = ("layer_norm", "decoder.bias", "emb_")
        key = next(k for k in sorted(state) if k.endswith((".bias", "_bias")) and not any(i in k for i in ignored))
        del state[key]
    else:
        key = f"{prefix}adapter.down.weight"
        state[key] = torch.zeros(3)
    torch.save(whole, path)
    assert key.removeprefix(prefix) in refused(family, folder, monkeypatch, capsys)


@every_family
def test_a_list_instead_of_a_state_dict(
    family: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / WEIGHTS[family]
    whole, _ = state_of(family, path)
    wrong = {"scfoundation": {"gene": {**whole.get("gene", {}), "state_dict": [1]}}, "scbert": {"model_state_dict": 5}}
    torch.save(wrong.get(family, {3: torch.zeros(2)}), path)
    refused(family, folder, monkeypatch, capsys)


@every_family
def test_another_family_is_refused(
    family: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"some.other.model": torch.zeros(2)}, folder / WEIGHTS[family])
    refused(family, folder, monkeypatch, capsys)


@pytest.mark.parametrize("family", ["scgpt", "scbenchmark"])
def test_vocabularies_that_do_not_fit(
    family: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "vocab.json"
    good = json.loads(path.read_text())
    path.write_text(json.dumps(good | {"GENE1": 2}))
    assert "each once" in refused(family, folder, monkeypatch, capsys)
    path.write_text(json.dumps(good)[:-1] + ', "GENE1": 1}')
    assert "more than once" in refused(family, folder, monkeypatch, capsys)
    fewer = {token: row for token, row in good.items() if token not in ("GENE29", "GENE19", "<eoc>", "<cls>", "<pad>")}
    path.write_text(json.dumps({token: row for row, token in enumerate(fewer)}))
    assert "has shape" in refused(family, folder, monkeypatch, capsys)


STRANGE_SETTINGS = (None, "x", [1], {}, -1, 0, 1.5, 10**12)
STRANGE_TENSORS: tuple[Callable[[torch.Tensor], object], ...] = (
    lambda tensor: tensor.sum(),
    lambda tensor: tensor.unsqueeze(0),
    lambda tensor: tensor.reshape(-1)[:0],
    lambda tensor: tensor.to(torch.complex64),
    lambda tensor: [1.0],
)


def loads_or_is_refused(family: str, folder: Path) -> None:
    """Anything but an `InputError` is a bug of ours."""
    try:
        load_backbone(family, folder)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may load as well


@pytest.mark.slow
@every_family
def test_strange_tensors_are_refused_and_are_no_bug(family: str, folder: Path) -> None:
    path = folder / WEIGHTS[family]
    whole, state = state_of(family, path)
    for key in sorted(state):
        good = state[key]
        for change in STRANGE_TENSORS:
            state[key] = change(good)
            torch.save(whole, path)
            loads_or_is_refused(family, folder)
        state[key] = good


def nested(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every entry of a configuration, also of those inside it."""
    for key, value in config.items():
        yield config, key
        if isinstance(value, dict):
            yield from nested(value)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["scgpt", "scbenchmark", "geneformer"])
def test_strange_settings_are_refused_and_are_no_bug(family: str, folder: Path) -> None:
    for path in sorted(folder.glob("*.json")):
        good = json.loads(path.read_text())
        for key in list(good)[:12]:
            for value in STRANGE_SETTINGS:
                path.write_text(json.dumps(good | {key: value}))
                loads_or_is_refused(family, folder)
        for text in ("[1]", "3", "{", "[" * 100_000, "\udcff"):
            path.write_text(text, errors="surrogateescape")
            with pytest.raises(InputError):
                load_backbone(family, folder)
        path.write_text(json.dumps(good))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["scfoundation"])
def test_strange_settings_in_a_checkpoint_are_refused_and_are_no_bug(family: str, folder: Path) -> None:
    path = folder / WEIGHTS[family]
    whole = torch.load(path, weights_only=True)
    for config, key in list(nested(whole["gene"]["config"])):
        good = config[key]
        for value in STRANGE_SETTINGS:
            config[key] = value
            torch.save(whole, path)
            loads_or_is_refused(family, folder)
        config[key] = good
    whole["gene"]["config"] = [1]
    torch.save(whole, path)
    with pytest.raises(InputError, match="its configuration lacks 'model'"):
        load_backbone(family, folder)


@pytest.mark.parametrize(
    ("family", "name"),
    [("scfoundation", "OS_scRNA_gene_index.19264.tsv"), ("scbert", "panglao_10000.h5ad"), ("scbert", "genes.txt")],
)
@pytest.mark.parametrize("content", [b"", b"x", b"index\tgene_name\n1\n", b"\xff\xfe\x00", b"\x89HDF\r\n\x1a\n"])
def test_strange_gene_lists_are_refused(family: str, name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    for other in {"genes.txt", "panglao_10000.h5ad"} - {name}:
        (folder / other).unlink(missing_ok=True)
    with pytest.raises(InputError):
        load_backbone(family, folder)


@pytest.mark.slow
@every_family
def test_whole_way_from_checkpoint_to_features(family: str, folder: Path) -> None:
    """Exported, checked against autograd, opened and probed; the manifest says what the family is."""
    from ugrn.runtime import load

    out = folder.parent / "artifact"
    done = CliRunner().invoke(app, ["export", family, str(folder), "-o", str(out)])
    assert done.exit_code == 0, done.output
    scorer = load(out)
    manifest = scorer.artifact.manifest
    assert len(manifest.vvp_levels) == len(manifest.gdt_levels) == 8
    assert manifest.provenance["checkpoint"]["family"] == family
    assert manifest.gradient == ("surrogate" if family in ("scbert", "geneformer") else "exact")
    genes = scorer.artifact.names.symbols
    frame = scorer.features([(genes[0], genes[3]), (genes[5], genes[1])])
    assert frame.shape == (2, 18)
    assert frame.select("vvp_1", "gdt_8").to_numpy().any()
