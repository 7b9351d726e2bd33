"""Expression sources for pretraining, brought to one vocabulary and one scale.

Three layouts are read: CSR HDF5 (``data``, ``indices``, ``indptr``, ``genes``), dense HDF5 (``values``,
``genes``) and ``.h5ad``. Counts become ln(1 + 1e4 x / sum). Every source is z-scored gene by gene with the
statistics of its own training rows, because only then can a model tell a value from a batch effect; this
also gives the baseline 0 its meaning, the gene's mean. Then every row's mean is taken off, because how much a
cell expresses of everything says nothing about a pair of genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.cells import open_cells
from ugrn.runtime.files.hdf5 import UNREADABLE_HDF5
from ugrn.runtime.files.matrices import open_matrix, read_dense
from ugrn.runtime.genes.table import gene_table

from .vocabulary import Vocabulary

CLIP = (-4.0, 6.0)
SMALL = 1e-3
COVERED = 0.05
HELD_OUT = 0.1  # of the rows of every source
AVERAGES, AVERAGES_WEIGHT = "averages", 2.0
SYMBOL_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "symbol")  # the first that a file has


@dataclass(frozen=True)
class Expression:
    """One source as read: `values` ``[rows, genes]`` log-normalised, columns named by `genes`."""

    name: str
    values: Array
    genes: list[str]
    species: str
    licence: str
    origin: str


@dataclass(frozen=True)
class SourceCard:
    """Provenance of one source, for the model card."""

    name: str
    origin: str
    licence: str
    species: str
    rows: int
    genes: int
    weight: float


@dataclass(frozen=True)
class Corpus:
    """All sources on one vocabulary. N rows, V genes, D sources.

    Attributes:
        values: ``[N, V]`` float16 z-scores; NaN where the source does not measure the gene or it hardly varies.
        source: ``[N]`` index of the row's source.
        measured: per source, the ids of its usable genes.
        held_out: bool ``[N]``, rows never trained on.
        cards: provenance of the D sources, with their sampling weights.
    """

    values: NDArray[np.float16]
    source: Ids
    measured: list[Ids]
    held_out: NDArray[np.bool_]
    cards: list[SourceCard]


def spectral_embeddings(corpus: Corpus, rank: int, seed: int = 0) -> Array:
    """Gene embeddings ``[V, rank]`` from the co-expression of the training rows.

    The leading right singular vectors of the z-scores, every source weighing what it is drawn with, times
    the root of their singular values; zero for genes no source measures. Started from them, pretraining
    need not find the linear part of co-expression one gene at a time.
    """
    train = ~corpus.held_out
    source = corpus.source[train]
    share = np.array([card.weight for card in corpus.cards])
    share /= share.sum()
    per_row = share[source] / np.bincount(source, minlength=len(share))[source]
    scores = np.nan_to_num(corpus.values[train].astype(np.float32))
    scores *= np.sqrt(per_row)[:, None].astype(np.float32)
    measured = np.zeros(scores.shape[1])
    for ids, part in zip(corpus.measured, share, strict=True):
        measured[ids] += part
    _, singular, vectors = randomized_svd(scores, rank, n_iter=3, random_state=seed)
    scale = np.sqrt(np.maximum(measured, COVERED))[:, None]
    return np.asarray(vectors.T * np.sqrt(singular) / scale, np.float32)


def add_description_rows(
    corpus: Corpus,
    embeddings: Array,
    share: float,
    origin: str,
    licence: str = "public domain",
    rows: int = 4096,
    seed: int = 0,
) -> Corpus:
    """A corpus with one more source, whose rows are drawn from the embeddings of the genes' descriptions.

    A row is a random direction of the embedding space read off at every gene: normal over genes with mean 0,
    variance 1 and, between two genes, the cosine of their centred embeddings `embeddings` ``[V, E]``. Trained
    on them beside expression, a model expects genes of like description to move together where expression
    says little. They are never held out, so held-out scores are of expression alone.

    Args:
        share: of all rows drawn in training, strictly between 0 and 1.
        origin, licence: of the embeddings, for the model card.
    """
    centred = embeddings - embeddings.mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), SMALL)
    directions = np.random.default_rng([seed, len(corpus.cards)]).standard_normal((rows, centred.shape[1]), np.float32)
    scores = np.clip(directions @ centred.T, *CLIP).astype(np.float16)
    weight = share / (1.0 - share) * sum(card.weight for card in corpus.cards)
    card = SourceCard("gene descriptions", origin, licence, "human", rows, len(centred), weight)
    return Corpus(
        np.concatenate([corpus.values, scores]),
        np.concatenate([corpus.source, np.full(rows, len(corpus.cards))]),
        [*corpus.measured, np.arange(len(centred))],
        np.concatenate([corpus.held_out, np.zeros(rows, bool)]),
        [*corpus.cards, card],
    )


def find_sources(paths: Sequence[Path]) -> list[Path]:
    """All ``.h5`` and ``.h5ad`` files among files and folders, sorted by name.

    Raises:
        InputError: a path does not exist or holds no expression file.
    """
    found: list[Path] = []
    for path in paths:
        files = sorted([*path.rglob("*.h5"), *path.rglob("*.h5ad")]) if path.is_dir() else [path]
        if not files or not all(file.is_file() for file in files):
            message = f"{path}: no expression file found; expected .h5 or .h5ad files, or a folder of them"
            raise InputError(message)
        found += files
    return found


def read_expression(path: Path) -> Expression:
    """Read one source.

    Raises:
        InputError: the file is in none of the known layouts.
    """
    if path.suffix == ".h5ad":
        return _read_h5ad(path)
    try:
        with h5py.File(path) as file:
            genes, matrix = read_layout(file)
            metadata = {key: str(value) for key, value in file.attrs.items()}
    except UNREADABLE_HDF5 as error:
        message = (
            f"{path}: cannot be read as expression ({error}); expected HDF5 with 'genes' and either "
            "'values' or 'data', 'indices', 'indptr', or an .h5ad file"
        )
        raise InputError(message) from error
    kind = metadata.get("kind", "lognorm")
    return Expression(
        name=path.stem,
        values=log_normalise(matrix) if kind == "counts" else matrix,
        genes=genes,
        species=metadata.get("species", "human"),
        licence=metadata.get("licence", "not stated"),
        origin=metadata.get("source", path.name),
    )


def build_corpus(paths: Sequence[Path], vocabulary: Vocabulary, seed: int = 0) -> Corpus:
    """Bring all sources to the vocabulary and z-score them.

    Every source is drawn equally often, whatever its rows, because breadth tells more than many cells of one
    tissue; sources in a folder named ``averages`` (means of tissues or cell types) `AVERAGES_WEIGHT` times as
    often.

    Raises:
        InputError: a source shares no varying gene with the vocabulary.
    """
    blocks, measured, cards, source, held = [], [], [], [], []
    for index, path in enumerate(find_sources(paths)):
        expression = read_expression(path)
        rows = len(expression.values)
        out = np.random.default_rng([seed, index]).permutation(rows) < round(HELD_OUT * rows)
        ids, scores = _standardise(expression, vocabulary, ~out)
        if len(ids) == 0:
            message = f"{path}: no varying gene of it is in the vocabulary; are they names of genes?"
            raise InputError(message)
        block = np.full((rows, len(vocabulary.symbols)), np.nan, np.float16)
        block[:, ids] = scores
        weight = AVERAGES_WEIGHT if path.parent.name == AVERAGES else 1.0
        blocks.append(block)
        measured.append(ids)
        held.append(out)
        source.append(np.full(rows, index))
        described = expression.name, expression.origin, expression.licence, expression.species
        cards.append(SourceCard(*described, rows, len(ids), weight))
    return Corpus(np.concatenate(blocks), np.concatenate(source), measured, np.concatenate(held), cards)


def read_layout(file: h5py.File) -> tuple[list[str], Array]:
    """The genes, and the values ``[rows, genes]`` from either layout.

    Raises:
        ValueError: the matrix does not fit its genes.
    """
    genes = [str(name) for name in file["genes"].asstr()[:]]
    if "values" in file:
        matrix = np.asarray(file["values"][:], np.float32)
    else:
        matrix = read_dense(open_matrix(file, (len(file["indptr"]) - 1, len(genes))))
    if matrix.ndim != 2 or matrix.shape[1] != len(genes):
        message = f"a matrix of shape {matrix.shape} for {len(genes)} genes"
        raise ValueError(message)
    return genes, matrix


def _read_h5ad(path: Path) -> Expression:
    with open_cells(path) as cells:
        columns = set(cells.var().columns)
        column = next((name for name in SYMBOL_COLUMNS if name in columns), None)
        genes = cells.var().index() if column is None else cells.var().strings(column)
        matrix = read_dense(cells.matrix())
        species, licence = cells.note("species"), cells.note("licence")
    counts = bool((matrix >= 0).all() and (matrix == np.round(matrix)).all())
    return Expression(
        name=path.stem,
        values=log_normalise(matrix) if counts else matrix,
        genes=genes,
        species=species or ("mouse" if gene_table().identify(genes).mouse else "human"),
        licence=licence or "not stated",
        origin=path.name,
    )


def log_normalise(counts: Array) -> Array:
    """ln(1 + 1e4 x / sum) of counts ``[N, G]``."""
    totals = np.maximum(counts.sum(1, keepdims=True), 1.0)
    return np.asarray(np.log1p(counts * (1e4 / totals)), np.float32)


def _standardise(expression: Expression, vocabulary: Vocabulary, train: NDArray[np.bool_]) -> tuple[Ids, Array]:
    """Ids ``[G]`` of the usable genes, and their z-scores ``[rows, G]`` by the training rows' statistics, less the
    mean of the row."""
    rows = vocabulary.names.ids(expression.genes, mouse=expression.species == "mouse").astype(np.int64)
    values = expression.values
    seen = values[train]
    mean, deviation = seen.mean(0), seen.std(0)
    enough = max(3.0, 0.01 * train.sum())
    usable = (rows >= 0) & (deviation > SMALL) & ((seen != 0).sum(0) >= enough)
    columns = np.flatnonzero(usable)
    columns = columns[np.argsort(-mean[columns], kind="stable")]  # of columns with one id, the most expressed
    ids, first = np.unique(rows[columns], return_index=True)
    keep = columns[first]
    scores = (values[:, keep] - mean[keep]) / deviation[keep]
    scores -= scores.mean(1, keepdims=True)
    return ids, np.clip(scores, *CLIP)
