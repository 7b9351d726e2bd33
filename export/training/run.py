"""One pretraining run from files to a checkpoint folder, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ugrn.runtime.errors import InputError
from ugrn.runtime.formats import replace_with

from ..backbones.mini import MiniConfig
from .checkpoint import FACTS, Checkpoint, save_checkpoint
from .corpus import Corpus, add_description_rows, build_corpus, spectral_embeddings
from .pretrain import Progress, pretrain
from .sampling import PretrainConfig
from .vocabulary import Vocabulary, embed_descriptions, read_embeddings, read_vocabulary, write_embeddings

CONTEXT_RANKED = 256
NAME_EMBEDDINGS = "NCBI gene names, other names and synonyms, embedded with all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Sizes:
    """Size of the backbone to train; the feed-forward blocks are twice as wide as the tokens.

    `spectral` is the number of co-expression components that join the gene embeddings.
    """

    width: int = 192
    layers: int = 2
    heads: int = 6
    spectral: int = 128

    def check(self) -> None:
        """Refuse sizes that do not fit together.

        Raises:
            InputError: the heads do not divide the width.
        """
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
    report: Callable[[Progress], None],
    say: Callable[[str], None],
    every: int = 500,
    licence: str = "",
) -> dict[str, Any]:
    """Pretrain on expression files and write a checkpoint folder.

    A folder that holds an unfinished run is resumed. The embeddings are kept in it, so that a second run
    need not embed the names again.

    Returns:
        What is recorded of the run (``pretrained.json``).

    Raises:
        InputError: an input cannot be used, or `folder` holds a finished backbone.
    """
    if (folder / FACTS).exists():
        message = f"{folder}: holds a finished backbone; choose another folder with -o"
        raise InputError(message)
    if threads:
        torch.set_num_threads(threads)
    vocabulary = read_vocabulary(genes)
    corpus = build_corpus(expression, vocabulary, seed=config.seed)
    say(f"{len(corpus.cards)} sources, {len(corpus.values):,} rows, {len(vocabulary.symbols):,} genes")
    folder.mkdir(parents=True, exist_ok=True)
    embeddings = _embeddings(gene_embeddings, vocabulary, folder, say)
    both = np.concatenate([_unit(embeddings), _unit(spectral_embeddings(corpus, sizes.spectral, config.seed))], axis=1)
    context = rank_context(corpus, vocabulary.symbols)
    described = NAME_EMBEDDINGS if gene_embeddings is None else gene_embeddings.name
    if config.description_share > 0:
        corpus = add_description_rows(corpus, embeddings, config.description_share, described, seed=config.seed)
    size = sizes.config(both.shape[1])
    state = folder / "resume.pt"
    backbone, held_out = pretrain(corpus, vocabulary.symbols, both, size, config, state, report, every)
    facts = {
        "settings": asdict(config),
        "held_out": held_out,
        "sources": [asdict(card) for card in corpus.cards],
        "gene_embeddings": described,
        "spectral_components": sizes.spectral,
        "licence": licence,
    }
    save_checkpoint(Checkpoint(backbone, vocabulary.aliases, context, facts), folder)
    state.unlink(missing_ok=True)
    return facts


def rank_context(corpus: Corpus, symbols: list[str]) -> list[str]:
    """Genes fit for a virtual cell's context: usable in most sources (drawn by weight), best first."""
    usable = np.zeros(len(symbols))
    for ids, card in zip(corpus.measured, corpus.cards, strict=True):
        usable[ids] += card.weight
    best = np.argsort(-usable, kind="stable")[:CONTEXT_RANKED]
    return [symbols[row] for row in best]


def _unit(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centred, with a standard deviation of one over all entries."""
    centred = embeddings - embeddings.mean(0)
    return np.asarray(centred / max(float(centred.std()), 1e-12), np.float32)


def _embeddings(
    given: Path | None, vocabulary: Vocabulary, folder: Path, say: Callable[[str], None]
) -> NDArray[np.float32]:
    if given is not None:
        return read_embeddings(given, vocabulary.symbols)
    kept = folder / "gene_embeddings.parquet"
    if not kept.exists():
        say("embedding the genes' names (minutes on a small machine, once)")
        embedded = embed_descriptions(vocabulary.descriptions)
        replace_with(kept, lambda part: write_embeddings(part, vocabulary.symbols, embedded))
    return read_embeddings(kept, vocabulary.symbols)
