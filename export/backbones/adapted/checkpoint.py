"""An adapted backbone on disk: the folder ``ugrn adapt`` writes and ``ugrn export adapted`` reads.

base/                 the checkpoint that was adapted, of any family
adapter.safetensors   the adapter and, where they were trained along, the backbone's parameters
network.parquet       the edges: source, target, level (which network), weight (missing where all are alike)
adapted.json          family and its options, sizes, what it was trained on, hashes of the base's files
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import polars as pl
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.errors import InputError

from ...model.adaptable import AdaptableBackbone, adaptable, adapter_widths
from ...model.base import Loaded, Origin, Readout
from ...model.checkpoint_files import read_json, read_state
from ...model.weights import Weights
from ...networks.network import WeightedNetwork
from .backbone import AdaptedBackbone
from .edges import MismatchError, edge_table, networks_of
from .graph_adapter import AdapterConfig, GraphAdapter
from .levels import structure_table

FAMILY = "adapted"
FORMAT = 1
METADATA_FILE, WEIGHTS, EDGES, BASE = "adapted.json", "adapter.safetensors", "network.parquet", "base"
LICENCE = "LICENSE"
# Names of adapted.json and their types.
RECORDED = {"format": int, "family": str, "settings": list, "readout": str, "size": dict, "base": dict, "facts": dict}


@dataclass(frozen=True)
class Base:
    """A backbone that is adapted, and its checkpoint.

    Attributes:
        family: of its checkpoint.
        settings: ``name=value`` for the family's options.
        loaded: read from it.
        write: puts the checkpoint's files into an existing folder.
        metadata: where it comes from, for the manifest.
    """

    family: str
    settings: tuple[str, ...]
    loaded: Loaded
    write: Callable[[Path], None]
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Adapted:
    """A trained adapter, the backbone it stands behind, and the record of its training."""

    base: Base
    readout: Readout
    adapter: GraphAdapter
    networks: Sequence[WeightedNetwork]
    trained_along: bool
    metadata: Mapping[str, Any]


def check_links(checkpoint: Path) -> None:
    """Refuse a checkpoint folder that cannot be copied.

    Raises:
        InputError: a file is a link that leads out of the folder.
    """
    inside = checkpoint.resolve()
    for path in sorted(checkpoint.iterdir()):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            message = (
                f"{path}: is a link that leads out of its folder, which is not followed; copy the checkpoint with "
                f"its files first: cp -rL {checkpoint} COPY"
            )
            raise InputError(message)


def copy_checkpoint(checkpoint: Path, folder: Path) -> None:
    """Copy the files of a checkpoint folder; folders in it are left out. Raises as `check_links`."""
    check_links(checkpoint)
    for path in sorted(checkpoint.iterdir()):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


def save_adapted(adapted: Adapted, folder: Path) -> None:
    """Write the files of an adapted backbone into an existing folder; ``adapted.json`` last."""
    base, backbone = adapted.base, cast(nn.Module, adapted.base.loaded.backbone)
    (folder / BASE).mkdir()
    base.write(folder / BASE)
    state = {f"adapter.{name}": tensor for name, tensor in adapted.adapter.state_dict().items()}
    if adapted.trained_along:
        state |= {f"backbone.{name}": each.detach() for name, each in backbone.named_parameters()}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / WEIGHTS)
    edge_table(adapted.networks, base.loaded.backbone.symbols).write_parquet(folder / EDGES)
    metadata = {
        "format": FORMAT,
        "family": base.family,
        "settings": list(base.settings),
        "readout": adapted.readout,
        "size": asdict(adapted.adapter.config),
        "base": {path.name: file_entry(path)["sha256"] for path in sorted((folder / BASE).iterdir())},
        "facts": dict(adapted.metadata),
    }
    (folder / METADATA_FILE).write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class AdaptedFolder:
    """The folder of an adapted backbone as read, except its base.

    Attributes:
        folder: where it is.
        family, settings: of the base, as in `Base`.
        adapter: of the recorded size, without its weights.
        state: the weights.
        edges: of the networks.
        metadata: of the training.
    """

    folder: Path
    family: str
    settings: tuple[str, ...]
    readout: str
    adapter: GraphAdapter
    state: Mapping[str, Tensor]
    edges: pl.DataFrame
    metadata: Mapping[str, Any]

    @property
    def base(self) -> Path:
        """The folder of the base's checkpoint."""
        return self.folder / BASE


def read_adapted(folder: Path) -> AdaptedFolder:
    """Read all but the base of a folder that `save_adapted` wrote.

    Raises:
        InputError: a file is missing or was changed.
    """
    if not folder.is_dir():
        message = f"{folder}: no such folder; expected one written by 'ugrn adapt'"
        raise InputError(message)
    try:
        recorded = _recorded(read_json(folder / METADATA_FILE))
        size, state = _size(recorded["size"]), read_state(folder / WEIGHTS)
        _check_size(size, Weights(state, folder / WEIGHTS, FAMILY))
        edges = pl.read_parquet(folder / EDGES)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        message = f"{folder}: not an adapted backbone ({error}); expected a folder written by 'ugrn adapt'"
        raise InputError(message) from error
    _check_base(folder / BASE, recorded["base"])
    refuse_adapted(recorded["family"])
    settings = tuple(recorded["settings"])
    return AdaptedFolder(
        folder, recorded["family"], settings, recorded["readout"], GraphAdapter(size), state, edges, recorded["facts"]
    )


def attach(adapted: AdaptedFolder, base: Loaded) -> Loaded:
    """An adapted backbone, of its folder and the base that was loaded from it.

    Raises:
        InputError: they do not fit each other.
    """
    backbone = adaptable(base.backbone)
    try:
        _fill(adapted, backbone)
        networks = networks_of(adapted.edges, backbone.symbols, adapted.adapter.config.networks)
    except MismatchError as error:
        message = f"{adapted.folder}: its files do not fit each other ({error}); run 'ugrn adapt' again"
        raise InputError(message) from error
    table = structure_table(backbone, adapted.adapter, networks)
    whole = AdaptedBackbone(backbone, adapted.adapter, table, cast(Readout, adapted.readout))
    return replace(base, backbone=whole.eval(), origin=_origin(base, adapted))


def refuse_adapted(family: str) -> None:
    """Refuse to put an adapter behind an adapter.

    Raises:
        InputError: the family is that of adapted backbones.
    """
    if family == FAMILY:
        message = "an adapted backbone cannot be adapted again; give the checkpoint it was made from (its folder base/)"
        raise InputError(message)


def _origin(base: Loaded, adapted: AdaptedFolder) -> Origin:
    licence = adapted.base / LICENCE
    text = licence.read_text(encoding="utf-8") if licence.is_file() else base.origin.licence_text
    metadata = {**base.origin.provenance, "adapter": dict(adapted.metadata)}
    return replace(base.origin, licence_text=text, provenance=metadata)


def _recorded(found: dict[str, Any]) -> dict[str, Any]:
    """The content of ``adapted.json``, whose names and types are those of `RECORDED`."""
    if not isinstance(found.get("format"), int):
        message = f"{METADATA_FILE} has no format"
        raise MismatchError(message)
    if found["format"] != FORMAT:
        message = f"format {found['format']} found, {FORMAT} expected; upgrade ugrn"
        raise MismatchError(message)
    wrong = [name for name, kind in RECORDED.items() if not isinstance(found.get(name), kind)]
    if wrong or not all(isinstance(each, str) for each in (*found["settings"], *found["base"].values())):
        message = f"{METADATA_FILE} lacks {', '.join(wrong) or 'settings or hashes that are text'}"
        raise MismatchError(message)
    return found


def _size(recorded: Mapping[str, Any]) -> AdapterConfig:
    names = {field.name for field in fields(AdapterConfig)}
    if set(recorded) != names or not all(isinstance(each, int) and each > 0 for each in recorded.values()):
        message = f"size {dict(recorded)} found, positive whole numbers {', '.join(sorted(names))} expected"
        raise MismatchError(message)
    size = AdapterConfig(**recorded)
    if size.structure % size.heads:
        message = f"structures of width {size.structure} cannot be cut into {size.heads} heads"
        raise MismatchError(message)
    return size


def _check_size(size: AdapterConfig, weights: Weights) -> None:
    """Refuse a size that is not that of the weights before an adapter is made of it: it could be of any size."""
    last = f"adapter.graphs.{size.networks - 1}.own.{size.depth - 1}.bias"
    weights.check({"adapter.enter.weight": (size.structure, size.inputs), last: (size.structure,)})
    weights.check({"adapter.query.weight": (size.structure, size.width)})


def _check_base(folder: Path, hashes: Mapping[str, str]) -> None:
    """Refuse a base whose files are others than those that were adapted, or lie elsewhere."""
    paths = [folder, *(folder / name for name in hashes)]
    links = [str(path) for path in paths if path.is_symlink() or path.parent not in (folder, folder.parent)]
    if links:
        message = f"{links[0]}: expected plain files inside the folder, and no links; copy the whole folder again"
        raise InputError(message)
    for path in paths[1:]:
        if not path.is_file() or file_entry(path)["sha256"] != hashes[path.name]:
            message = f"{path}: is missing or was changed since the adapter was trained; copy the whole folder again"
            raise InputError(message)


def _fill(adapted: AdaptedFolder, backbone: AdaptableBackbone) -> None:
    """Put the weights into the adapter and, where they were trained along, into the backbone."""
    if adapted.readout not in backbone.card.readouts:
        message = f"readout {adapted.readout!r}, which {backbone.card.name} does not have"
        raise MismatchError(message)
    config, state = adapted.adapter.config, adapted.state
    if (config.width, config.inputs) != adapter_widths(backbone):
        message = f"an adapter of widths {config.width} and {config.inputs}, not those of {backbone.card.name}"
        raise MismatchError(message)
    parts = {
        part: {name.removeprefix(f"{part}."): tensor for name, tensor in state.items() if name.startswith(f"{part}.")}
        for part in ("adapter", "backbone")
    }
    if sum(map(len, parts.values())) != len(state):
        message = f"{WEIGHTS} holds what is of neither adapter nor backbone"
        raise MismatchError(message)
    module = cast(nn.Module, backbone)
    _load(adapted.adapter, parts["adapter"], dict(adapted.adapter.state_dict()), "adapter")
    if parts["backbone"]:
        _load(module, parts["backbone"], dict(module.named_parameters()), "backbone")


def _load(module: nn.Module, state: Mapping[str, Tensor], own: Mapping[str, Tensor], part: str) -> None:
    """Copy tensors into a module: its `own`, all of them and no others."""
    if {name: (each.shape, each.dtype) for name, each in state.items()} != {
        name: (each.shape, each.dtype) for name, each in own.items()
    }:
        message = f"{WEIGHTS} holds parameters of another {part}"
        raise MismatchError(message)
    if not all(bool(torch.isfinite(each).all()) for each in state.values()):
        message = f"{WEIGHTS} holds NaN or infinite values"
        raise MismatchError(message)
    module.load_state_dict(state, strict=False)
