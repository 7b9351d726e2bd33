"""Build the gene table that ships with the package (`ugrn.runtime.genes.table` reads it).

    python -m bench.gene_table GENES artifacts/genes/names.parquet

`GENES` is a folder with the tables of HGNC (``hgnc_genes.tsv.gz``), NCBI gene_info (``human.parquet``,
``mouse.parquet``) and MGI (``mgi_mouse_genes.tsv.gz``, ``mgi_human_mouse_homologs.tsv.gz``). What HGNC and MGI say of a
name or an id goes before what NCBI says: a name that they know is not taken from NCBI for another gene.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from ugrn.export.pretrain.vocabulary import gene_file
from ugrn.runtime.files.atomic import replace_with

NAME_LISTS = ("previous", "aliases", "synonyms")
SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "mouse": pl.Boolean(),
    "homolog": pl.UInt32(),
    "near": pl.List(pl.UInt32),
    "ensembl": pl.List(pl.UInt64),
    "entrez": pl.List(pl.UInt32),
    **dict.fromkeys(NAME_LISTS, pl.List(pl.String)),
}


def build_gene_table(folder: Path) -> pl.DataFrame:
    """All human genes, then all mouse genes, each by symbol.

    Returns:
        Columns symbol; mouse; homolog (row of a mouse gene's one human homolog, null where there is none); near
        (rows of the human genes of its homology classes, where it has none); ensembl and entrez (the numbers of the
        ids); previous, aliases, synonyms (names in upper case: HGNC's previous symbols and NCBI's own symbols; HGNC's
        aliases or MGI's synonyms; NCBI's synonyms).

    Raises:
        InputError: a table is missing.
    """
    human, mouse = _human(folder), _mouse(folder)
    number = human.select("id", pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
    homologs = _homologs(folder, human, mouse).join(number, left_on="human", right_on="id")
    one = homologs.filter("one").select("id", pl.col("row").alias("homolog"))
    near = homologs.filter(~pl.col("one")).group_by("id").agg(pl.col("row").sort().alias("near"))
    for column in (one, near):
        mouse = mouse.join(column, on="id", how="left", maintain_order="left")
    mouse = mouse.with_columns(pl.when(pl.col("homolog").is_null()).then("near"))
    both = pl.concat([human, mouse], how="diagonal")
    lists = [name for name, kind in SCHEMA.items() if isinstance(kind, pl.List)]
    return both.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()).with_columns(
        pl.col(lists).fill_null([])
    )


def write_gene_table(table: pl.DataFrame, path: Path) -> None:
    """Write the table; the same table gives the same bytes with the same version of polars."""
    replace_with(path, lambda part: table.write_parquet(part, compression="zstd", compression_level=22))


def _human(folder: Path) -> pl.DataFrame:
    """HGNC's genes and what NCBI adds: id, symbol, mouse, ids and names."""
    hgnc = _tsv(folder, "hgnc_genes.tsv.gz").select(
        pl.col("hgnc_id").alias("id"),
        "symbol",
        _split("ensembl_gene_id").alias("ensembl"),
        _split("entrez_id").alias("entrez"),
        _names("prev_symbol").alias("previous"),
        _names("alias_symbol").alias("aliases"),
    )
    return _with_ncbi(hgnc, gene_file(folder, "human.parquet")).with_columns(mouse=False)


def _mouse(folder: Path) -> pl.DataFrame:
    """MGI's genes (its transgenes and other entries without an id and a type are left out) and what NCBI adds."""
    known = pl.any_horizontal(pl.col("feature_type", "ensembl_gene_id", "entrez_id").is_not_null())
    mgi = _tsv(folder, "mgi_mouse_genes.tsv.gz").filter(known)
    mgi = mgi.select(
        pl.col("mgi_id").alias("id"),
        "symbol",
        _split("ensembl_gene_id").alias("ensembl"),
        _split("entrez_id").alias("entrez"),
        pl.lit([], pl.List(pl.String)).alias("previous"),
        _names("synonyms").alias("aliases"),
    )
    return _with_ncbi(mgi, gene_file(folder, "mouse.parquet")).with_columns(mouse=True)


def _with_ncbi(genes: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Genes by symbol, with the symbols that NCBI gave them and, where no gene has them yet, its ids and synonyms."""
    upper = pl.col("symbol").str.to_uppercase()
    ncbi = pl.read_parquet(path).select(
        pl.col("authority_id").alias("id"),
        "ensembl",
        pl.concat_list(pl.col("ncbi_gene_id").cast(pl.String)).alias("entrez"),
        pl.concat_list(upper).alias("previous"),
        pl.col("synonyms").list.eval(pl.element().str.to_uppercase()),
    )
    genes = _add(genes, ncbi, "previous", pl.Series([], dtype=pl.String)).with_columns(
        pl.col("previous").list.set_difference(pl.concat_list(upper)).list.sort(),
        synonyms=pl.lit([], pl.List(pl.String)),
    )
    names = [genes[name].list.explode() for name in ("previous", "aliases")]
    known = {"synonyms": pl.concat([genes.select(upper).to_series(), *names])}
    for column in ("ensembl", "entrez", "synonyms"):
        genes = _add(genes, ncbi, column, known.get(column, genes[column].list.explode()))
    number = pl.element().str.extract(r"(\d+)$").drop_nulls()
    numbers = [pl.col(name).list.eval(number).cast(SCHEMA[name]) for name in ("ensembl", "entrez")]
    return genes.with_columns(numbers).sort("symbol", "id")


def _add(genes: pl.DataFrame, ncbi: pl.DataFrame, column: str, known: pl.Series) -> pl.DataFrame:
    """Genes with what NCBI has in a column of lists, less what is known already."""
    new = ncbi.select("id", pl.col(column).alias("new")).explode("new").drop_nulls()
    new = new.filter(~pl.col("new").is_in(known.drop_nulls().implode()))
    new = new.group_by("id").agg(pl.col("new").unique().sort())
    joined = genes.join(new, on="id", how="left", maintain_order="left")
    both = pl.concat_list(column, pl.col("new").fill_null([])).list.unique(maintain_order=True)
    return joined.with_columns(both.alias(column)).drop("new")


def _homologs(folder: Path, human: pl.DataFrame, mouse: pl.DataFrame) -> pl.DataFrame:
    """Pairs of a mouse gene (id) and a human gene (human), and whether they are each other's one homolog.

    They are where both stand in no other pair of MGI; else where they bear the same name, if MGI or HGNC pairs them or
    neither of them with any other; else where both stand in no other pair of HGNC. No gene has two.
    """
    mgi = _tsv(folder, "mgi_human_mouse_homologs.tsv.gz").select(
        pl.col("mgi_id").alias("id"), pl.col("hgnc_id").alias("human")
    )
    hgnc = _tsv(folder, "hgnc_genes.tsv.gz").select(
        pl.col("mgd_id").str.split("|").alias("id"), pl.col("hgnc_id").alias("human")
    )
    hgnc = hgnc.explode("id").drop_nulls()
    mouse = mouse.select("id", pl.col("symbol").str.to_uppercase().alias("name"))
    human = human.select(pl.col("id").alias("human"), pl.col("symbol").str.to_uppercase().alias("human_name"))
    namesakes = mouse.join(human, left_on="name", right_on="human_name").select("id", "human")
    for side in ("id", "human"):
        namesakes = namesakes.join(pl.concat([mgi, hgnc]), on=side, how="anti")
    others = pl.concat([hgnc.unique(), namesakes])
    pairs = pl.concat([mgi.unique().with_columns(mgi=True), others.with_columns(mgi=False)])
    alone = pl.col("id").count().over("mgi", "id").eq(1) & pl.col("id").count().over("mgi", "human").eq(1)
    pairs = pairs.with_columns(alone=alone).join(mouse, on="id").join(human, on="human")
    named = pl.col("name").eq(pl.col("human_name"))
    rank = pl.when(pl.col("alone") & pl.col("mgi")).then(0).when(named).then(1).when("alone").then(2).otherwise(3)
    pairs = pairs.with_columns(rank=rank).group_by("id", "human").agg(pl.col("rank").min())
    best = [pl.col("rank").eq(pl.col("rank").min().over(side)) for side in ("id", "human")]
    single = [pl.col("rank").eq(pl.col("rank").min().over(side)).sum().over(side).eq(1) for side in ("id", "human")]
    return pairs.with_columns(one=pl.all_horizontal(*best, *single, pl.col("rank") < 3)).sort("id", "human")


def _tsv(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(gene_file(folder, name), separator="\t", infer_schema_length=0, quote_char=None)


def _split(column: str) -> pl.Expr:
    return pl.col(column).str.split("|").fill_null([])


def _names(column: str) -> pl.Expr:
    return _split(column).list.eval(pl.element().str.strip_chars().str.to_uppercase().unique().sort())


if __name__ == "__main__":
    write_gene_table(build_gene_table(Path(sys.argv[1])), Path(sys.argv[2]))
