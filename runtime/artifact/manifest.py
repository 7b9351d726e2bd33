"""The manifest of an artifact, ``artifact.json``: its fields, its files with their hashes, and how it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from ..errors import ArtifactError

FORMAT = 1
MANIFEST = "artifact.json"
EMBEDDINGS = "embeddings.npy"
WEIGHTS = "weights.safetensors"
REQUIRED = frozenset({"vvp.onnx", "gdt.onnx", "genes.txt", "context.txt"})
READOUTS = ("mvc", "gen", "masked", "token", "shift", "rank", "attn")
GRADIENTS = ("exact", "surrogate")
OPTIONAL = frozenset(
    {"aliases.tsv", EMBEDDINGS, WEIGHTS, "translator.npz", "example_pairs.csv", "MODEL_CARD.md", "LICENSE"}
    | {"vvp.ts", "gdt.ts"}
)


@dataclass(frozen=True)
class BackboneShape:
    """Size of a backbone, from which the runtime estimates memory.

    Attributes:
        width: of a token.
        heads: of the attention.
        feedforward: hidden width of the feed-forward blocks.
        layers: number of layers.
        tokens: tokens of a virtual cell beside its context, where the backbone always reads a whole genome.
        features: random features of its attention, where that is linear in the tokens; else 0.
        vocabulary: outputs it normalises over to read one target, where it does; else 0.
    """

    width: int
    heads: int
    feedforward: int
    layers: int
    tokens: int = 0
    features: int = 0
    vocabulary: int = 0


@dataclass(frozen=True)
class Manifest:
    """``artifact.json`` (format 1).

    Attributes:
        format: version of the artifact format.
        backbone: name of the scFM.
        licence: SPDX expression of the weights' licence.
        readout: where predictions are read (``mvc``, ``gen``, ``masked``, ``token``, ``shift``, ``rank``, ``attn``).
        gradient: ``exact`` or ``surrogate``.
        units: what a value of 1 means.
        scale: how cells become these units; see `ugrn.runtime.engine.states`. Empty where it is not known.
        baseline: v_b, in `units`.
        vvp_levels, gdt_levels: levels of the two probes, in `units`.
        shape: size of the backbone.
        context_size: number of genes of the reference context.
        opset: ONNX operator set of the graphs.
        parity: largest deviations of the exported graphs from float64 autograd.
        provenance: origin of backbone and graphs.
        metrics: the translator's validation; empty before training.
        files: sha256 and size of every other file of the folder.
    """

    format: int
    backbone: str
    licence: str
    readout: str
    gradient: str
    units: str
    baseline: float
    vvp_levels: tuple[float, ...]
    gdt_levels: tuple[float, ...]
    shape: BackboneShape
    opset: int
    parity: dict[str, Any]
    provenance: dict[str, Any]
    scale: str = ""
    context_size: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


def parse_manifest(raw: bytes, folder: Path) -> Manifest:
    """Read a manifest, refusing what this version does not know.

    Raises:
        ArtifactError: see `open_artifact`.
    """
    try:
        data = json.loads(raw)
        version = int(data["format"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        message = f"{folder}/{MANIFEST}: not a manifest ({error!r}); expected JSON with a 'format' number"
        raise ArtifactError(message) from error
    if not 1 <= version <= FORMAT:
        message = (
            f"{folder}: artifact format {version} found; this ugrn reads formats 1 to {FORMAT}; "
            "upgrade with: pip install --upgrade ugrn"
        )
        raise ArtifactError(message)
    try:
        levels = {key: tuple(float(v) for v in data[key]) for key in ("vvp_levels", "gdt_levels")}
        shape = BackboneShape(**{key: int(size) for key, size in data["shape"].items()})
        manifest = Manifest(**{**data, **levels, "shape": shape, "baseline": float(data["baseline"])})
        listed = {name: dict(entry) for name, entry in manifest.files.items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        message = f"{folder}/{MANIFEST}: incomplete or unknown entries ({error}); export the artifact again"
        raise ArtifactError(message) from error
    _check_values(manifest, folder)
    unknown = sorted(set(listed) - REQUIRED - OPTIONAL)
    missing = sorted(REQUIRED - set(listed))
    if unknown or missing:
        message = f"{folder}/{MANIFEST}: files missing {missing}, not known to this version {unknown}"
        raise ArtifactError(message)
    return manifest


def file_entry(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file, as the manifest lists it."""
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def file_trouble(path: Path, entry: Mapping[str, Any]) -> str:
    """The message that a listed file is missing, a link, or not as the manifest says; empty where it is right."""
    if path.is_symlink():
        return f"{path}: is a link; an artifact holds plain files only: copy the artifact folder again"
    if not path.is_file():
        return f"{path}: listed in the manifest but missing; copy the whole artifact folder again"
    found = file_entry(path)
    if found == {"size": entry.get("size"), "sha256": entry.get("sha256")}:
        return ""
    return (
        f"{path}: found {found['size']} bytes with sha256 {found['sha256'][:12]}…, expected "
        f"{entry.get('size')} with {str(entry.get('sha256'))[:12]}…; the file is damaged or was changed: "
        "copy the artifact folder again"
    )


def _check_values(manifest: Manifest, folder: Path) -> None:
    numbers = (*manifest.vvp_levels, *manifest.gdt_levels, manifest.baseline)
    sizes = (manifest.shape.width, manifest.shape.heads, manifest.shape.feedforward, manifest.shape.layers)
    known = manifest.readout in READOUTS and manifest.gradient in GRADIENTS
    if not (known and all(map(isfinite, numbers)) and manifest.vvp_levels and manifest.gdt_levels and min(sizes) > 0):
        message = (
            f"{folder}/{MANIFEST}: found readout {manifest.readout!r}, gradient {manifest.gradient!r}, levels and "
            f"baseline {numbers}, sizes {sizes}; expected one of {READOUTS}, one of {GRADIENTS}, finite levels and "
            "positive sizes; export the artifact again"
        )
        raise ArtifactError(message)
