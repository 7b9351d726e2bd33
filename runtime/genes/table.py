"""The gene table that ships with the package: names and ids of the genes of human and mouse.

Sources, dates and licences are in ``artifacts/genes/README.md``; `bench.gene_table` builds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..arrays import Codes

_KINDS = ("symbol", "previous symbol", "alias", "synonym", "Ensembl id", "Entrez id")
KINDS = ("", *_KINDS, *(f"mouse {kind}" for kind in _KINDS))  # aliases are HGNC's and MGI's, synonyms NCBI's
SYMBOL, PREVIOUS, ALIAS, SYNONYM, ENSEMBL, ENTREZ = range(1, 7)
MOUSE = len(_KINDS)  # a kind of mouse name is this much more than that of a human name

# Which reading of a name counts: the lowest number, and none that is NEVER. Readings of one number that are of
# different genes make the name ambiguous. A human list takes no mouse aliases: some are human names by chance.
NEVER = 99
HUMAN_ORDER = np.array([NEVER, 1, 2, 2, 3, 0, 0, 4, NEVER, NEVER, NEVER, 0, 0])
MOUSE_ORDER = np.array([NEVER, 2, 4, 4, 6, 0, 0, 1, 3, 3, 5, 0, 0])
VOCABULARY_ORDER = np.array([NEVER, 1, 2, 3, 4, 0, 0, 5, NEVER, NEVER, NEVER, 0, 0])  # was official when it was written

ENSEMBL_ID = r"^(ENS(?:MUS)?G)(?:R|0)(\d{10})(?:\.\d+)?(?:_PAR_Y)?$"  # R stands for 0 in old ids of the Y chromosome


@dataclass(frozen=True)
class Identified:
    """The genes that some names are of.

    Attributes:
        genes: int32 ``[N]`` rows of `GeneTable.symbols`, the human gene wherever there is one; -1 where not known.
        kinds: uint8 ``[N]`` into `KINDS`; 0 where not known.
        candidates: of ambiguous names, by place: rows of the genes that they may be of.
        mouse: True where the names were seen to be of mouse genes.
    """

    genes: Codes
    kinds: NDArray[np.uint8]
    candidates: dict[int, list[int]]
    mouse: bool


class GeneTable:
    """All genes, G of them, and their names.

    Args:
        table: as `bench.gene_table` makes it.

    Attributes:
        symbols: G symbols, human genes first.
        humans: number of them that are human.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        table = table.with_row_index("gene")
        self.symbols: list[str] = table["symbol"].to_list()
        self.humans = int((~table["mouse"]).sum())
        self._near: list[list[int]] = table["near"].to_list()
        self._gene = table.select(pl.coalesce("homolog", "gene")).to_series().cast(pl.Int32)  # [G], human where it can
        prefix = pl.when("mouse").then(pl.lit("ENSMUSG")).otherwise(pl.lit("ENSG"))
        columns = {
            SYMBOL: table.select("gene", "mouse", pl.col("symbol").str.to_uppercase().alias("key")),
            PREVIOUS: _listed(table, "previous"),
            ALIAS: _listed(table, "aliases"),
            SYNONYM: _listed(table, "synonyms"),
            ENSEMBL: _listed(table, "ensembl").with_columns(key=prefix + pl.col("key").str.zfill(11)),
            ENTREZ: _listed(table, "entrez"),
        }
        kind = [
            each.select("key", "gene", kind=(pl.col("mouse").cast(pl.UInt8) * MOUSE + kind).cast(pl.UInt8))
            for kind, each in columns.items()
        ]
        self._names = pl.concat(kind)

    def near(self, gene: int) -> list[int]:
        """The human genes like a mouse gene that has no one-to-one homolog."""
        return self._near[gene]

    def identify(self, names: Sequence[str], mouse: bool | None = None, vocabulary: bool = False) -> Identified:
        """Say which genes N distinct names are of, without regard to case.

        Args:
            names: symbols, other names, Ensembl ids (also with a version) or, where most of the list is numbers,
                Entrez ids.
            mouse: True where they are of mouse genes; None sees it from which species has more of them.
            vocabulary: True where they are a model's vocabulary, in which a previous symbol is no other gene's alias.
        """
        keys = _keys(names)
        hits = self._names.join(keys, on="key")
        if 2 * keys["key"].str.contains(r"^\d+$").sum() <= len(keys):
            hits = hits.filter(~pl.col("kind").is_in([ENTREZ, ENTREZ + MOUSE]))
        written = self._written(hits)
        if mouse is None:
            mouse = _mostly_mouse(hits, written)
        order = MOUSE_ORDER if mouse else VOCABULARY_ORDER if vocabulary else HUMAN_ORDER
        hits = hits.with_columns(
            rank=pl.Series(2 * order[hits["kind"].to_numpy()]) - written, gene=self._gene.gather(hits["gene"])
        )
        hits = hits.filter((pl.col("rank") < NEVER) & (pl.col("rank") == pl.col("rank").min().over("place")))
        found = hits.group_by("place").agg(pl.col("gene").unique().sort(), pl.col("kind").min()).sort("place")
        one = found["gene"].list.len() == 1
        genes, kinds = np.full(len(names), -1, np.int32), np.zeros(len(names), np.uint8)
        known = found.filter(one)
        genes[known["place"]] = known["gene"].list.first()
        kinds[known["place"]] = known["kind"]
        candidates = dict(found.filter(~one).select("place", "gene").iter_rows())
        return Identified(genes, kinds, candidates, mouse)

    def _written(self, hits: pl.DataFrame) -> pl.Series:
        """True where a name is a symbol as it is written, not in another case."""
        symbols = pl.Series(self.symbols, dtype=pl.String).gather(hits["gene"])
        return hits["kind"].is_in([SYMBOL, SYMBOL + MOUSE]) & (symbols == hits["name"])


@cache
def gene_table() -> GeneTable:
    """The table of the package, read when it is first needed."""
    return GeneTable(pl.read_parquet((files("ugrn.artifacts") / "genes" / "names.parquet").read_bytes()))


def _listed(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """A column of lists as one row for each name: gene, mouse, key."""
    return (
        table.select("gene", "mouse", pl.col(column).alias("key")).explode("key").drop_nulls().cast({"key": pl.String})
    )


def _keys(names: Sequence[str]) -> pl.DataFrame:
    """Names, their places, and what they are looked up by: in upper case, ids without a version."""
    table = pl.DataFrame({"name": names}, schema={"name": pl.String}).with_row_index("place")
    upper = pl.col("name").str.to_uppercase()
    return table.with_columns(key=upper.str.replace(ENSEMBL_ID, "${1}0${2}"))


def _mostly_mouse(hits: pl.DataFrame, written: pl.Series) -> bool:
    """True where more names are symbols or ids of mouse genes than of human ones, or as many and more as written."""

    def count(hits: pl.DataFrame, mouse: int) -> int:
        kinds = [kind + mouse for kind in (SYMBOL, ENSEMBL, ENTREZ)]
        return hits.filter(pl.col("kind").is_in(kinds))["place"].n_unique()

    exact = hits.filter(written)
    human, mouse = ((count(hits, species), count(exact, species)) for species in (0, MOUSE))
    return mouse > human
