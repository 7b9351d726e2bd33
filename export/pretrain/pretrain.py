"""One pretraining run from files to a checkpoint folder, resumable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ugrn.runtime.arrays import Array
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import replace_with

from ..backbones.mini import MiniConfig
from ..backbones.mini_checkpoint import METADATA_FILE, Checkpoint, save_checkpoint
from .corpus import Corpus, add_description_rows, build_corpus, spectral_embeddings
from .loop import TrainingStatus, pretrain
from .sampling import PretrainConfig
from .vocabulary import (
    Vocabulary,
    embed_descriptions,
    gene_set_embeddings,
    read_embeddings,
    read_vocabulary,
    write_embeddings,
)

CONTEXT_RANKED = 256
SETS_WEIGHT = 2.0  # of gene sets against names, in what description rows expect to move together
PAIR_RANK = 64  # components of each kind that the translator may read products of
NAME_EMBEDDINGS = "NCBI gene names, other names and synonyms, embedded with all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Sizes:
    """Size of the backbone to train; the feed-forward blocks are twice as wide as the tokens.

    `spectral` is the number of co-expression components that join the gene embeddings.

    Raises:
        InputError: the heads do not divide the width.
    """

    width: int = 192
    layers: int = 2
    heads: int = 6
    spectral: int = 128

    def __post_init__(self) -> None:
        if self.width % self.heads:
            message = f"width {self.width} is not a multiple of {self.heads} heads; choose another --width or --heads"
            raise InputError(message)

    def config(self, embedding_width: int) -> MiniConfig:
        """The backbone's configuration."""
        return MiniConfig(self.width, self.layers, self.heads, 2 * self.width, embedding_width)


def pretrain_to_folder(
    expression: Sequence[Path],
    genes: Path,
    folder: Path,
    config: PretrainConfig,
    sizes: Sizes,
    gene_embeddings: Path | None,
    threads: int,
    report: Callable[[TrainingStatus], None],
    notify: Callable[[str], None],
    every: int = 500,
    licence: str = "",
    gene_sets: Path | None = None,
) -> dict[str, Any]:
    """Pretrain on expression files and write a checkpoint folder.

    A folder that holds an unfinished run is resumed. The embeddings are kept in it, so that a second run
    need not embed the names again.

    Args:
        gene_sets: GMT file of gene sets that describe the genes beside their names.

    Returns:
        The record of the run (``pretrained.json``).

    Raises:
        InputError: an input cannot be used, or `folder` holds a finished backbone.
    """
    if (folder / METADATA_FILE).exists():
        message = f"{folder}: holds a finished backbone; choose another folder with -o"
        raise InputError(message)
    if threads:
        torch.set_num_threads(threads)
    vocabulary = read_vocabulary(genes)
    corpus = build_corpus(expression, vocabulary, seed=config.seed)
    notify(f"{len(corpus.cards)} sources, {len(corpus.values):,} rows, {len(vocabulary.symbols):,} genes")
    folder.mkdir(parents=True, exist_ok=True)
    blocks, described = _describe_genes(gene_embeddings, gene_sets, vocabulary, folder, notify)
    context = rank_context(corpus, vocabulary.symbols)
    spectral = spectral_embeddings(corpus, sizes.spectral, config.seed)
    if config.description_share > 0:
        corpus = _with_description_rows(corpus, blocks, described, config)
    blocks["expression"] = spectral
    tokens = np.concatenate([_unit(block) for block in blocks.values()], axis=1)
    size, state = sizes.config(tokens.shape[1]), folder / "resume.pt"
    backbone, held_out = pretrain(corpus, vocabulary.symbols, tokens, size, config, state, report, every)
    metadata = {
        "settings": asdict(config),
        "held_out": held_out,
        "sources": [asdict(card) for card in corpus.cards],
        "gene_embeddings": described,
        "gene_sets": "" if gene_sets is None else gene_sets.name,
        "spectral_components": sizes.spectral,
        "licence": licence,
    }
    pairwise = np.concatenate([leading_components(block, PAIR_RANK) for block in blocks.values()], axis=1)
    save_checkpoint(Checkpoint(backbone, {}, context, metadata, pairwise.astype(np.float16)), folder)
    state.unlink(missing_ok=True)
    return metadata


def _with_description_rows(
    corpus: Corpus, blocks: Mapping[str, Array], described: str, config: PretrainConfig
) -> Corpus:
    """The corpus with rows drawn from the genes' descriptions, blocks ``[V, E]`` of names and perhaps of gene sets."""
    joined = [np.sqrt(SETS_WEIGHT if name == "sets" else 1.0) * _rows_of_one(blocks[name]) for name in blocks]
    licence = "that of its parts" if "sets" in blocks else "public domain"
    share = config.description_share
    return add_description_rows(corpus, np.concatenate(joined, axis=1), share, described, licence, seed=config.seed)


def rank_context(corpus: Corpus, symbols: list[str]) -> list[str]:
    """Genes fit for a virtual cell's context: usable in most sources (drawn by weight), best first."""
    usable = np.zeros(len(symbols))
    for ids, card in zip(corpus.measured, corpus.cards, strict=True):
        usable[ids] += card.weight
    best = np.argsort(-usable, kind="stable")[:CONTEXT_RANKED]
    return [symbols[row] for row in best]


def _unit(embeddings: Array) -> Array:
    """Centred, with a standard deviation of one over all entries."""
    centred = embeddings - embeddings.mean(0)
    return np.asarray(centred / max(float(centred.std()), 1e-12), np.float32)


def _rows_of_one(block: Array) -> Array:
    """Every row with length one, or zero."""
    return np.asarray(block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12), np.float32)


def leading_components(block: Array, rank: int) -> Array:
    """Leading principal components of a centred block ``[V, E]``: ``[V, at most rank]``, rows of length one or zero."""
    _, vectors = np.linalg.eigh(block.T @ block)
    return _rows_of_one(block @ vectors[:, ::-1][:, :rank])


def _describe_genes(
    gene_embeddings: Path | None,
    gene_sets: Path | None,
    vocabulary: Vocabulary,
    folder: Path,
    notify: Callable[[str], None],
) -> tuple[dict[str, Array], str]:
    """Centred blocks ``[V, E]`` of the genes' names and perhaps of gene sets, and their origin in words."""
    texts = _embeddings(gene_embeddings, vocabulary, folder, notify)
    blocks = {"names": texts - texts.mean(0)}
    described = NAME_EMBEDDINGS if gene_embeddings is None else gene_embeddings.name
    if gene_sets is not None:
        blocks["sets"] = gene_set_embeddings(gene_sets, vocabulary.names)
        described += f"; gene sets of {gene_sets.name}"
    return blocks, described


def _embeddings(given: Path | None, vocabulary: Vocabulary, folder: Path, notify: Callable[[str], None]) -> Array:
    if given is not None:
        return read_embeddings(given, vocabulary.symbols)
    kept = folder / "gene_embeddings.parquet"
    if not kept.exists():
        notify("embedding the genes' names (minutes on a small machine, once)")
        embedded = embed_descriptions(vocabulary.descriptions)
        replace_with(kept, lambda part: write_embeddings(part, vocabulary.symbols, embedded))
    return read_embeddings(kept, vocabulary.symbols)
