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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.errors import InputError

from ...model.base import Backbone, Loaded, Origin, Readout
from ...networks.network import Network, WeightedNetwork
from .backbone import AdaptedBackbone
from .graph_adapter import AdapterConfig, GraphAdapter
from .levels import structure_table

FAMILY = "adapted"
FORMAT = 1
METADATA_FILE, WEIGHTS, EDGES, BASE = "adapted.json", "adapter.safetensors", "network.parquet", "base"
LICENCE = "LICENSE"
LoadBackbone = Callable[[str, Path, Sequence[str]], Loaded]


@dataclass(frozen=True)
class Base:
    """What is adapted.

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
    """A trained adapter, what it stands behind, and what is recorded of its training."""

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
    _edge_table(adapted.networks, base.loaded.backbone.symbols).write_parquet(folder / EDGES)
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


def load_adapted(folder: Path, load: LoadBackbone) -> Loaded:
    """Read the folder of an adapted backbone.

    Args:
        folder: as `save_adapted` wrote it.
        load: reads the base, given family, folder and options.

    Raises:
        InputError: a file is missing, was changed, or does not fit the others.
    """
    try:
        recorded = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
        if recorded["format"] != FORMAT:
            message = f"format {recorded['format']} found, {FORMAT} expected; upgrade ugrn"
            raise ValueError(message)
        family, settings, readout = recorded["family"], list(recorded["settings"]), recorded["readout"]
        _check_base(folder / BASE, recorded["base"])
        adapter = GraphAdapter(AdapterConfig(**recorded["size"]))
        state = load_file(folder / WEIGHTS)
        edges = pl.read_parquet(folder / EDGES)
        metadata = dict(recorded["facts"])
        refuse_adapted(family)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError, pl.exceptions.PolarsError) as error:
        message = f"{folder}: not an adapted backbone ({error}); expected a folder written by 'ugrn adapt'"
        raise InputError(message) from error
    loaded = load(family, folder / BASE, settings)
    try:
        backbone = _filled(loaded.backbone, adapter, state, readout)
        networks = _networks(edges, backbone.symbols, adapter.config.networks)
        adapted = AdaptedBackbone(backbone, adapter, structure_table(backbone, adapter, networks), readout)
    except (ValueError, KeyError, IndexError, TypeError, RuntimeError, pl.exceptions.PolarsError) as error:
        message = f"{folder}: its files do not fit each other ({error}); run 'ugrn adapt' again"
        raise InputError(message) from error
    return replace(loaded, backbone=adapted.eval(), origin=_origin(loaded, folder / BASE / LICENCE, metadata))


def refuse_adapted(family: str) -> None:
    """Refuse to put an adapter behind an adapter.

    Raises:
        InputError: the family is that of adapted backbones.
    """
    if family == FAMILY:
        message = "an adapted backbone cannot be adapted again; give the checkpoint it was made from (its folder base/)"
        raise InputError(message)


def _origin(loaded: Loaded, licence: Path, metadata: Mapping[str, Any]) -> Origin:
    text = licence.read_text(encoding="utf-8") if licence.is_file() else loaded.origin.licence_text
    return replace(loaded.origin, licence_text=text, provenance={**loaded.origin.provenance, "adapter": dict(metadata)})


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


def _filled(backbone: Backbone, adapter: GraphAdapter, state: Mapping[str, Tensor], readout: str) -> Backbone:
    """Put the weights into the adapter and, where they were trained along, into the backbone."""
    if readout not in backbone.card.readouts:
        message = f"readout {readout!r}, which {backbone.card.name} does not have"
        raise ValueError(message)
    parts = {
        part: {name.removeprefix(f"{part}."): tensor for name, tensor in state.items() if name.startswith(f"{part}.")}
        for part in ("adapter", "backbone")
    }
    if sum(map(len, parts.values())) != len(state):
        message = f"{WEIGHTS} holds what is of neither adapter nor backbone"
        raise ValueError(message)
    adapter.load_state_dict(parts["adapter"])
    own = dict(cast(nn.Module, backbone).named_parameters())
    if parts["backbone"]:
        if set(own) != set(parts["backbone"]):
            message = f"{WEIGHTS} holds parameters of another backbone"
            raise ValueError(message)
        cast(nn.Module, backbone).load_state_dict(parts["backbone"], strict=False)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        message = f"{WEIGHTS} holds NaN or infinite values"
        raise ValueError(message)
    return backbone


def _edge_table(networks: Sequence[WeightedNetwork], symbols: Sequence[str]) -> pl.DataFrame:
    names = pl.Series(symbols, dtype=pl.String)
    return pl.concat(
        pl.DataFrame(
            {
                "source": names.gather(each.network.sources),
                "target": names.gather(each.network.targets),
                "level": np.full(len(each.network), level, np.int32),
                "weight": pl.Series(each.weights, dtype=pl.Float32)
                if each.weights is not None
                else pl.repeat(None, len(each.network), dtype=pl.Float32, eager=True),
            }
        )
        for level, each in enumerate(networks)
    )


def _networks(edges: pl.DataFrame, symbols: Sequence[str], levels: int) -> list[WeightedNetwork]:
    """The networks of a table that `_edge_table` made."""
    rows = {symbol: row for row, symbol in enumerate(symbols)}
    found = []
    for level in range(levels):
        part = edges.filter(pl.col("level") == level)
        sources, targets = (
            np.array([rows[name] for name in part[end].to_list()], np.int64) for end in ("source", "target")
        )
        network = Network.of(sources, targets, len(symbols))
        if not np.array_equal(network.keys(), sources * len(symbols) + targets):
            message = f"{EDGES}: edges of network {level} are repeated, lead to themselves or were put in another order"
            raise ValueError(message)
        weights = None if part["weight"].null_count() else part["weight"].cast(pl.Float32).to_numpy()
        found.append(WeightedNetwork(network, weights))
    return found
