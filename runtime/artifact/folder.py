"""Opening an artifact folder: everything in it is checked before anything is used.

An artifact is a folder with ``artifact.json`` (the manifest), the ONNX graphs, the vocabulary, the reference
context and, once trained, the translator. Nothing in it is executed except the graphs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtifactError
from ..genes.names import GeneNames
from ..translator.translator import Translator, load_translator

FORMAT = 1
MANIFEST = "artifact.json"
EMBEDDINGS = "embeddings.npy"
REQUIRED = frozenset({"vvp.onnx", "gdt.onnx", "genes.txt", "context.txt"})
READOUTS = ("mvc", "gen", "masked", "token", "shift", "rank", "attn")
GRADIENTS = ("exact", "surrogate")
OPTIONAL = frozenset(
    {
        "aliases.tsv",
        EMBEDDINGS,
        "translator.npz",
        "example_pairs.csv",
        "MODEL_CARD.md",
        "LICENSE",
        "vvp.ts",
        "gdt.ts",
    }
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
        scale: how cells become these units; see `ugrn.runtime.engine.units`. Empty where it is not known.
        baseline: v_b, in `units`.
        vvp_levels, gdt_levels: levels of the two probes, in `units`.
        shape: size of the backbone.
        context_size: number of genes of the reference context.
        opset: ONNX operator set of the graphs.
        parity: largest deviations of the exported graphs from float64 autograd.
        provenance: how backbone and graphs were made.
        metrics: what validation said of the translator; empty before training.
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


@dataclass(frozen=True)
class Artifact:
    """An opened and verified artifact folder.

    Attributes:
        folder: where it lies.
        manifest: its manifest.
        names: the vocabulary, V genes.
        context: int64 ``[C]`` ids of the virtual cell's context.
        context_values: float32 ``[C]`` their values; the baseline in the reference context.
        digest: sha256 of the manifest, which holds the hashes of all other files (and of another context's genes
            and values).
        in_state: whether the virtual cell is another than the artifact's own.
    """

    folder: Path
    manifest: Manifest
    names: GeneNames
    context: NDArray[np.int64]
    context_values: NDArray[np.float32]
    digest: str
    in_state: bool = False

    def with_context(self, context: NDArray[np.int64], values: NDArray[np.float32]) -> Artifact:
        """The same artifact with another virtual cell: gene ids ``[C]`` and their values ``[C]``.

        Its translator reads the probes alone: the genes' embeddings are the same in every cell.
        """
        values = np.ascontiguousarray(values, np.float32)
        digest = hashlib.sha256(self.digest.encode() + context.tobytes() + values.tobytes()).hexdigest()
        return replace(self, context=context, context_values=values, digest=digest, in_state=True)

    @property
    def example_pairs(self) -> Path:
        """The artifact's own example pair list.

        Raises:
            ArtifactError: it has none.
        """
        if "example_pairs.csv" not in self.manifest.files:
            message = f"{self.folder}: has no example pairs; give a pair list instead of --example"
            raise ArtifactError(message)
        return self.folder / "example_pairs.csv"

    @cached_property
    def embeddings(self) -> NDArray[np.float16] | None:
        """The backbone's gene embeddings ``[V, E]``, or None where the artifact was exported without them.

        Raises:
            ArtifactError: the file is no such matrix.
        """
        if EMBEDDINGS not in self.manifest.files:
            return None
        path = self.folder / EMBEDDINGS
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            message = f"{path}: not a readable matrix ({error}); export the artifact again"
            raise ArtifactError(message) from error
        if values.ndim != 2 or len(values) != len(self.names.symbols) or values.dtype != np.float16:
            message = (
                f"{path}: {values.dtype} of shape {values.shape}; expected float16 with one row for each of "
                f"{len(self.names.symbols)} genes; export the artifact again"
            )
            raise ArtifactError(message)
        return np.asarray(values, np.float16)

    @cached_property
    def translator(self) -> Translator:
        """The trained translator.

        Raises:
            ArtifactError: the artifact has none yet.
        """
        if "translator.npz" not in self.manifest.files:
            message = (
                f"{self.folder}: has no translator yet, so it gives features but no probabilities; "
                f"run: ugrn train {self.folder} --edges EDGES.csv"
            )
            raise ArtifactError(message)
        translator = load_translator(self.folder / "translator.npz")
        levels = {"vvp": len(self.manifest.vvp_levels), "gdt": len(self.manifest.gdt_levels)}
        fits = {probe: len(mlp.centre) for probe, mlp in translator.mlps.items()}
        if fits != levels:
            message = f"{self.folder}: translator for {fits} features, probes with {levels} levels; train it again"
            raise ArtifactError(message)
        if translator.product is not None:
            width = 0 if self.embeddings is None else self.embeddings.shape[1]
            if len(translator.product.weight) != width:
                message = (
                    f"{self.folder}: translator for embeddings of width {len(translator.product.weight)}, "
                    f"embeddings of width {width}; train it again"
                )
                raise ArtifactError(message)
        return replace(translator, product=None, shares=None) if self.in_state else translator


def open_artifact(folder: Path | str) -> Artifact:
    """Open and verify an artifact folder.

    Raises:
        ArtifactError: the folder is not an artifact, is of a newer format, is damaged, or names a file
            this version does not know.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        message = f"{folder}: no {MANIFEST} found; expected an artifact folder as written by 'ugrn export'"
        raise ArtifactError(message)
    raw = path.read_bytes()
    manifest = parse_manifest(raw, folder)
    troubles = [trouble for name, entry in manifest.files.items() if (trouble := _trouble(folder / name, entry))]
    if troubles:
        raise ArtifactError("\n".join(troubles))
    symbols = read_lines(folder / "genes.txt")
    if len(set(symbols)) != len(symbols) or not symbols:
        message = f"{folder}/genes.txt: {len(symbols)} symbols, {len(set(symbols))} distinct; expected distinct ones"
        raise ArtifactError(message)
    names = GeneNames(symbols, read_aliases(folder / "aliases.tsv"))
    context = names.ids(read_lines(folder / "context.txt")).astype(np.int64)
    if (context < 0).any() or len(np.unique(context)) != len(context):
        message = f"{folder}/context.txt: expected distinct genes of genes.txt; export the artifact again"
        raise ArtifactError(message)
    values = np.full(len(context), manifest.baseline, np.float32)
    return Artifact(folder, manifest, names, context, values, hashlib.sha256(raw).hexdigest())


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


def file_entry(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file, as the manifest lists it."""
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _trouble(path: Path, entry: Mapping[str, Any]) -> str:
    """What is wrong with a file that the manifest lists; empty where nothing is."""
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


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file of which every line ends with a newline.

    Raises:
        ArtifactError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    except UnicodeDecodeError as error:
        message = f"{path}: not UTF-8 text ({error}); export the artifact again"
        raise ArtifactError(message) from error


def read_aliases(path: Path) -> dict[str, str]:
    """Other name -> symbol, from ``aliases.tsv``; empty where there is none.

    Raises:
        ArtifactError: a line has no tab.
    """
    if not path.is_file():
        return {}
    try:
        return dict(line.split("\t", 1) for line in read_lines(path))
    except ValueError as error:
        message = f"{path}: expected lines of name, tab, symbol; export the artifact again"
        raise ArtifactError(message) from error
