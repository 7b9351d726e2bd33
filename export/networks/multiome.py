"""Paired RNA and ATAC of the same cells, with places of genes and peaks, and the motif hits in the peaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ugrn.runtime.arrays import Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.text import column_of, read_table
from ugrn.runtime.genes.names import GeneNames

from .cell_files import CellFile, first_columns, read_cells
from .positions import PEAK_COLUMNS, Places, peak_places

FEWEST_CELLS = 20
PEAK, SOURCE, NES = ("peak", "region", "peak_id"), ("tf", "source", "regulator"), ("nes",)
REJECTS = {"list": pl.String, "name": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Multiome:
    """N cells with G genes and P peaks.

    Attributes:
        genes: G names.
        expression: CSC float32 ``[N, G]``, ln(1 + 1e4 x / sum).
        access: CSC float32 ``[N, P]``, the same of the peaks.
        peaks: their centres.
        starts: transcription starts.
        gene_of_start: int64, of each start the gene, -1 where it is of none of the cells'.
        notes: what a user should know.
        rejects: genes and peaks that cannot be used: list, name, reason.
    """

    genes: list[str]
    expression: Any
    access: Any
    peaks: Places
    starts: Places
    gene_of_start: Ids
    notes: list[str]
    rejects: pl.DataFrame


@dataclass(frozen=True)
class Hits:
    """Motifs of sources in peaks, H distinct pairs.

    Attributes:
        source: int64 ``[H]``, into the genes.
        peak: int64 ``[H]``, into the peaks.
        notes, rejects: as of `Multiome`.
    """

    source: Ids
    peak: Ids
    notes: list[str]
    rejects: pl.DataFrame


def read_multiome(rna_file: Path, atac_file: Path, starts: Places) -> Multiome:
    """Read both modalities, of the cells that are in both.

    Args:
        rna_file, atac_file: two ``.h5ad`` files, or twice the same ``.h5mu``.
        starts: transcription starts of genes.

    Raises:
        InputError: a file cannot be read, too few cells are in both, or no gene or no peak has a place.
    """
    names = GeneNames([name for name in dict.fromkeys(starts.names) if name])
    rna = read_cells(rna_file, names, _modality(rna_file, "rna"))
    atac = read_cells(atac_file, None, _modality(atac_file, "atac"), PEAK_COLUMNS)
    left, right, notes = _same_cells(rna, atac)
    peaks = peak_places(atac.features, atac.columns)
    gene_of_start, genes_left = _place_genes(rna, starts, names)
    if (gene_of_start < 0).all() or not peaks.known.any():
        which = "peak" if not peaks.known.any() else "gene"
        first = (atac if which == "peak" else rna).features[:3]
        message = (
            f"{(atac if which == 'peak' else rna).where}: no {which} has a place, e.g. {first}; expected peaks named "
            "chromosome:start-end, or with the columns chrom, start and end, and genes that the gene positions name"
        )
        raise InputError(message)
    unknown = [("peaks", atac.features[row], "not chromosome:start-end") for row in np.flatnonzero(~peaks.known)]
    notes += [
        f"{each.where}: values are not counts, and are taken as ln(1 + 1e4 x / sum)"
        for each in (rna, atac)
        if not each.counts
    ]
    rejects = pl.DataFrame([*genes_left, *unknown], schema=REJECTS, orient="row")
    expression, access = rna.lognorm()[left].tocsc(), atac.lognorm()[right].tocsc()
    return Multiome(rna.features, expression, access, peaks, starts, gene_of_start, notes, rejects)


def read_hits(path: Path, data: Multiome, min_nes: float) -> Hits:
    """Read motif hits.

    Args:
        path: table with the columns peak, tf and nes.
        data: whose peaks and genes count.
        min_nes: a hit's NES must be above.

    Raises:
        InputError: the table cannot be read, or none of its sources or peaks is in the data.
    """
    table = read_table(path)
    columns = [column_of(table, each) for each in (PEAK, SOURCE, NES)]
    if None in columns:
        message = f"{path}: found columns {table.columns}; expected peak, tf and nes"
        raise InputError(message)
    hits = table.select(
        pl.col(str(columns[0])).str.strip_chars().fill_null("").alias("peak"),
        pl.col(str(columns[1])).str.strip_chars().fill_null("").alias("tf"),
        pl.col(str(columns[2])).str.strip_chars().cast(pl.Float64, strict=False).alias("nes"),
    )
    wrong = hits.filter(pl.col("nes").is_null() | pl.col("nes").is_nan())
    hits = hits.filter(pl.col("nes").is_not_nan(), pl.col("nes") > min_nes).unique(["peak", "tf"], maintain_order=True)
    rejects = [("motif hits", f"{peak} {tf}", "NES is no number") for peak, tf, _ in wrong.iter_rows()]
    distinct = list(dict.fromkeys(data.genes))
    names, first = GeneNames(distinct), {name: row for row, name in reversed(list(enumerate(data.genes)))}
    sources, peaks = (hits[name].unique(maintain_order=True).to_list() for name in ("tf", "peak"))
    matches = names.match(sources)
    of_source = {
        name: first[distinct[row]] for name, row in zip(matches.names, matches.ids.tolist(), strict=True) if row >= 0
    }
    known = data.peaks.known
    by_key = {key: row for row, key in enumerate(data.peaks.keys) if known[row]}
    of_peak: dict[str, int] = {
        name: by_key[key] for name, key in zip(peaks, peak_places(peaks).keys, strict=True) if key in by_key
    }
    rejects += [("motif hits", name, "TF is not in the data") for name in sources if name not in of_source]
    rejects += [("motif hits", name, "peak is not in the data") for name in peaks if name not in of_peak]
    if len(hits) and not (of_source and of_peak):
        what = "TFs" if not of_source else "peaks"
        some = (peaks if of_source else sources)[:3]
        message = f"{path}: none of its {what} is in the data, e.g. {some}; expected those of the data"
        raise InputError(message)
    rows = [(of_source.get(tf, -1), of_peak.get(peak, -1)) for peak, tf, _ in hits.iter_rows()]
    found = np.unique(np.array(rows, np.int64).reshape(-1, 2), axis=0)
    found = found[(found >= 0).all(1)]
    note = matches.note()
    notes = [f"TFs of the motif hits: {note}"] if note else []
    return Hits(found[:, 0], found[:, 1], notes, pl.DataFrame(rejects, schema=REJECTS, orient="row"))


def _modality(path: Path, name: str) -> str:
    return name if path.suffix.lower() == ".h5mu" else ""


def _same_cells(rna: CellFile, atac: CellFile) -> tuple[Ids, Ids, list[str]]:
    """Rows of the cells that are in both, in the order of the RNA."""
    place = {name: row for row, name in enumerate(atac.cells)}
    left = np.array([row for row, name in enumerate(rna.cells) if name in place], np.int64)
    right = np.array([place[name] for name in rna.cells if name in place], np.int64)
    said = f"{len(left)} cells are in both, of {len(rna)} with RNA and {len(atac)} with ATAC"
    if len(left) < FEWEST_CELLS:
        message = (
            f"{rna.where}, {atac.where}: {said} (the first are {rna.cells[:1]} and {atac.cells[:1]}); expected the "
            f"same cells under the same names, {FEWEST_CELLS} at least"
        )
        raise InputError(message)
    return left, right, [] if len(left) == len(rna) == len(atac) else [said]


def _place_genes(rna: CellFile, starts: Places, names: GeneNames) -> tuple[Ids, list[tuple[str, str, str]]]:
    """Of each transcription start the gene of the cells, and the genes that have none."""
    matches = names.match(rna.features)
    ids = matches.ids[matches.places(rna.features)]
    column = first_columns(ids, len(names))
    row = {name: place for place, name in enumerate(names.symbols)}
    gene = np.array([column[row[name]] if name else -1 for name in starts.names], np.int64)
    gene = np.where(starts.known, gene, -1)
    placed = np.zeros(len(rna.features), bool)
    placed[gene[gene >= 0]] = True
    again: NDArray[np.bool_] = (ids >= 0) & (column[ids] != np.arange(len(ids)))
    left = [("genes", rna.features[at], _why(bool(ids[at] >= 0), bool(again[at]))) for at in np.flatnonzero(~placed)]
    return gene, left


def _why(named: bool, again: bool) -> str:
    return "duplicate" if again else "position cannot be read" if named else "no position"
