"""Places of peaks and genes, and pairs that are near each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ugrn.runtime.arrays import Doubles, Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.text import column_of, first_of, read_table

PEAK = r"^(.+?)[:_-](\d+)[-_](\d+)$"
CHROMOSOME = ("chromosome", "chrom", "chr", "seqnames", "seqname", "chromosome_name")
START, END = ("start", "chromstart", "peak_start"), ("end", "chromend", "stop", "peak_end")
PEAK_COLUMNS = (*CHROMOSOME, *START, *END)
GENE = ("gene", "gene_name", "gene_symbol", "symbol", "external_gene_name", "gene_id")
TSS = ("tss", "transcription_start_site")
STRAND = ("strand",)
FORWARD, BACKWARD = ("+", "+1", "1"), ("-", "-1")


@dataclass(frozen=True)
class Places:
    """Points of a genome, one to a row.

    Attributes:
        names: of the peaks or genes that lie there.
        chromosome: without a leading ``chr``; empty where the place is not known.
        at: base pairs; nan where the place is not known.
        keys: the place as a text, by which it is found under another name.
    """

    names: list[str]
    chromosome: list[str]
    at: Doubles
    keys: list[str]

    @property
    def known(self) -> NDArray[np.bool_]:
        """True where a place is known, bool ``[P]``."""
        return np.asarray(np.isfinite(self.at) & np.array([bool(name) for name in self.chromosome], bool))


def peak_places(names: Sequence[str], columns: Mapping[str, Sequence[str]] | None = None) -> Places:
    """The centres of peaks.

    Args:
        names: ``chr1:100-200``, ``chr1-100-200`` or ``chr1_100_200``.
        columns: chromosome, start and end, in place of the names where all three are there.
    """
    table = pl.DataFrame({"name": list(names)}, schema={"name": pl.String})
    ends = [first_of(columns or {}, each) for each in (CHROMOSOME, START, END)]
    if columns is not None and None not in ends:
        texts = [pl.Series(list(columns[each]), dtype=pl.String) for each in ends if each is not None]
    else:
        texts = [table["name"].str.extract(PEAK, group) for group in (1, 2, 3)]
    start, end = (each.str.strip_chars().cast(pl.Float64, strict=False) for each in texts[1:])
    at = ((start + end) / 2).fill_null(float("nan")).to_numpy()
    chromosome = _chromosomes(texts[0])
    keys = [
        f"{left}:{a:.0f}-{b:.0f}" if a is not None and b is not None else ""
        for left, a, b in zip(chromosome, start, end, strict=True)
    ]
    return Places(list(names), chromosome, at, keys)


def gene_places(path: Path) -> Places:
    """The transcription starts of genes; one that has several has several rows.

    Args:
        path: table with the columns gene, chromosome, and tss or start, end and strand; see `read_table`.

    Raises:
        InputError: it cannot be read, or has not these columns.
    """
    table = read_table(path)
    gene, chromosome, tss = (column_of(table, each) for each in (GENE, CHROMOSOME, TSS))
    span = [column_of(table, each) for each in (START, END, STRAND)]
    if gene is None or chromosome is None or (tss is None and None in span):
        message = (
            f"{path}: found columns {table.columns}; expected gene, chromosome, and tss or start, end and strand "
            f"(genes as {', '.join(GENE)})"
        )
        raise InputError(message)
    if tss is not None:
        at = table[tss].str.strip_chars().cast(pl.Float64, strict=False)
    else:
        start, end, strand = (pl.col(str(each)).str.strip_chars() for each in span)
        first = pl.when(strand.is_in(FORWARD)).then(start).when(strand.is_in(BACKWARD)).then(end)
        at = table.select(first.cast(pl.Float64, strict=False)).to_series()
    names = table[gene].str.strip_chars().fill_null("").to_list()
    return Places(names, _chromosomes(table[chromosome]), at.fill_null(float("nan")).to_numpy(), names)


def near(peaks: Places, genes: Places, rows: Ids, window: float) -> tuple[Ids, Ids]:
    """Pairs of a gene and a peak whose centre is within `window` of one of the gene's transcription starts.

    Args:
        peaks: P of them.
        genes: transcription starts.
        rows: of each start the gene ``[starts]``, from 0; -1 leaves a start out.
        window: base pairs, to either side.

    Returns:
        Genes and peaks, distinct pairs, rising by gene and by peak.
    """
    found: list[Ids] = [np.zeros(0, np.int64)]
    used = peaks.known
    for chromosome in sorted(set(peaks.chromosome) - {""}):
        here = np.flatnonzero(used & (np.array(peaks.chromosome, dtype=object) == chromosome))
        here = here[np.argsort(peaks.at[here], kind="stable")]
        starts = np.flatnonzero(genes.known & (rows >= 0) & (np.array(genes.chromosome, dtype=object) == chromosome))
        first = np.searchsorted(peaks.at[here], genes.at[starts] - window, "left")
        last = np.searchsorted(peaks.at[here], genes.at[starts] + window, "right")
        for start, low, high in zip(starts, first, last, strict=True):
            found.append(rows[start] * len(peaks.names) + here[low:high])
    keys = np.unique(np.concatenate(found))
    return keys // max(len(peaks.names), 1), keys % max(len(peaks.names), 1)


def _chromosomes(names: pl.Series) -> list[str]:
    plain = names.cast(pl.String).fill_null("").str.strip_chars().str.replace("^(?i)chr", "")
    return ["MT" if name == "M" else name for name in plain.to_list()]
