"""Opening an artifact folder: everything in it is checked before anything is used.

An artifact is a folder with ``artifact.json`` (the manifest), the ONNX graphs, the vocabulary, the reference
context and, once trained, the translator. Nothing in it is executed except the graphs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array, Ids
from ..errors import ArtifactError
from ..genes.names import GeneNames
from ..translator.translator import Translator, load_translator
from .manifest import EMBEDDINGS, MANIFEST, Manifest, file_trouble, parse_manifest


@dataclass(frozen=True)
class Artifact:
    """An opened and verified artifact folder.

    Attributes:
        folder: its path.
        manifest: its manifest.
        names: the vocabulary, V genes.
        context: int64 ``[C]`` ids of the virtual cell's context.
        context_values: float32 ``[C]`` their values; the baseline in the reference context.
        digest: sha256 of the manifest, which holds the hashes of all other files (and of another context's genes
            and values).
        in_state: True where the virtual cell is another than the artifact's own.
    """

    folder: Path
    manifest: Manifest
    names: GeneNames
    context: Ids
    context_values: Array
    digest: str
    in_state: bool = False

    def with_context(self, context: Ids, values: Array) -> Artifact:
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
        except (OSError, ValueError, EOFError, BadZipFile) as error:
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
    troubles = [trouble for name, entry in manifest.files.items() if (trouble := file_trouble(folder / name, entry))]
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
