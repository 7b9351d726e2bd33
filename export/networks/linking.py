"""A network from paired RNA and ATAC: a source's motif in a peak that goes with the target's expression.

As GRNFormer (arXiv 2503.01682) takes its networks from SCENIC+ (Bravo Gonzalez-Blas et al. 2023, Nature Methods 20,
1355): a peak is linked to a gene where its centre is within 150 kb of the gene's transcription start and its
accessibility correlates with the gene's expression, |r| > 0.03; a source has an edge to the gene where a linked peak
has a hit of its motif, NES > 3. Both are ln(1 + 1e4 x / sum), and r is Pearson's over the cells.

Shapes: N cells, G genes, P peaks, L pairs of a gene and a peak near it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ugrn.runtime.arrays import Doubles, Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import replace_with
from ugrn.runtime.files.outputs import check_output, sidecar_path
from ugrn.runtime.files.pairs import PairList
from ugrn.runtime.files.results import write_results
from ugrn.runtime.progress import Progress
from ugrn.runtime.runs.provenance import versions, write_rejects
from ugrn.runtime.runs.result_table import ResultTable

from .multiome import Hits, Multiome, read_hits, read_multiome
from .positions import gene_places, near
from .summary import count_rejects

RESULTS = ("weight", "correlation")
TINY = 1e-10  # of the sum of squares: a variance that is rounding


@dataclass(frozen=True)
class LinkSettings:
    """Thresholds of links and edges; GRNFormer's values.

    Attributes:
        window: base pairs between a peak's centre and a gene's transcription start, at most.
        min_correlation: |r| must be above.
        min_nes: the motif hit's NES must be above.

    Raises:
        InputError: a setting is out of its range.
    """

    window: float = 150_000
    min_correlation: float = 0.03
    min_nes: float = 3.0

    def __post_init__(self) -> None:
        if not (self.window >= 0 and 0 <= self.min_correlation < 1 and np.isfinite(self.min_nes)):
            message = (
                f"found --window {self.window}, --min-correlation {self.min_correlation} and --min-nes {self.min_nes}; "
                "expected base pairs from 0, a number from 0 to below 1, and a number"
            )
            raise InputError(message)


@dataclass(frozen=True)
class LinkInputs:
    """Files of one run.

    Attributes:
        rna, atac: ``.h5ad`` files, or twice the same ``.h5mu``.
        gene_positions: table of gene, chromosome, and tss or start, end and strand.
        motif_hits: table of peak, tf and nes.
    """

    rna: Path
    atac: Path
    gene_positions: Path
    motif_hits: Path


@dataclass(frozen=True)
class LinkSummary:
    """Counts of a run; also written beside the result as JSON.

    Attributes:
        rejected: genes, peaks and motif hits by reason.
        notes: on the cells and the names.
        cells: that are in both.
        genes, peaks: with a place.
        pairs: of a gene and a peak within the window.
        links: of these the correlated ones.
        hits: of a source in a peak, above the NES.
        self_pairs: edges of genes with themselves, left out.
    """

    output: Path
    rejects: Path | None
    rejected: dict[str, dict[str, int]]
    notes: list[str]
    cells: int
    genes: int
    peaks: int
    pairs: int
    links: int
    hits: int
    self_pairs: int
    sources: int
    edges: int
    seconds: float


def write_links(inputs: LinkInputs, output: Path, settings: LinkSettings, progress: Progress) -> LinkSummary:
    """Link peaks to genes, and write the network of the motifs in them.

    Args:
        inputs: files.
        output: in any format of `ugrn.runtime.files.outputs`: source, target, weight (the largest |r| of the edge's
            peaks), correlation (r of that peak) and peaks (how many there are).
        settings: thresholds.
        progress: called with genes done and genes in all.

    Raises:
        InputError: a file cannot be read or used, or no edge is left.
    """
    started = time.monotonic()
    to = check_output(output, vars(inputs).values())
    data = read_multiome(inputs.rna, inputs.atac, gene_places(inputs.gene_positions))
    hits = read_hits(inputs.motif_hits, data, settings.min_nes)
    genes, peaks = near(data.peaks, data.starts, data.gene_of_start, settings.window)
    r = correlations(data.expression, data.access, genes, peaks, progress)
    linked = np.abs(r) > settings.min_correlation
    edges, self_pairs = edges_of(genes[linked], peaks[linked], r[linked], hits)
    if len(edges) == 0:
        raise InputError(_no_edge(len(genes), int(linked.sum()), len(hits.peak), settings))
    rejects = pl.concat([data.rejects, hits.rejects])
    summary = LinkSummary(
        output=output,
        rejects=write_rejects(rejects if len(rejects) else None, output),
        rejected=count_rejects(rejects),
        notes=data.notes + hits.notes,
        cells=data.expression.shape[0],
        genes=len(np.unique(data.gene_of_start[data.gene_of_start >= 0])),
        peaks=int(data.peaks.known.sum()),
        pairs=len(genes),
        links=int(linked.sum()),
        hits=len(hits.peak),
        self_pairs=self_pairs,
        sources=edges["source"].n_unique(),
        edges=len(edges),
        seconds=round(time.monotonic() - started, 3),
    )
    write_results(_table(edges, data), output, to)
    _write_sidecar(inputs, settings, summary)
    return summary


def correlations(expression: Any, access: Any, genes: Ids, peaks: Ids, progress: Progress) -> Doubles:
    """Pearson correlations ``[L]`` of genes and peaks over cells, gene by gene; 0 where one of the two does not vary.

    Args:
        expression: CSC ``[N, G]``.
        access: CSC ``[N, P]``.
        genes, peaks: columns ``[L]``, rising by gene.
        progress: called with genes done and genes in all.
    """
    out = np.zeros(len(genes))
    count = expression.shape[0]
    bounds = np.flatnonzero(np.diff(genes, prepend=-1, append=-1)) if len(genes) else np.zeros(1, np.int64)
    for done, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True), 1):
        x = expression[:, [genes[first]]].toarray().ravel().astype(np.float64)
        squares = float(x @ x)
        x -= x.mean()
        part = access[:, peaks[first:last]].astype(np.float64)  # [N, peaks of the gene]
        sums, own = np.asarray(part.sum(0)), np.asarray(part.multiply(part).sum(0))
        of_peak = own - sums**2 / count
        varying = (of_peak > TINY * own) & (x @ x > TINY * squares)
        scale = np.sqrt(np.where(varying, of_peak, 1.0) * max(float(x @ x), TINY))
        out[first:last] = np.where(varying, (part.T @ x) / scale, 0.0)
        progress(done, len(bounds) - 1)
    return out


def edges_of(genes: Ids, peaks: Ids, r: Doubles, hits: Hits) -> tuple[pl.DataFrame, int]:
    """Edges of sources whose motif is in a linked peak: source, target, weight, correlation, peaks.

    Args:
        genes, peaks, r: of the links, ``[L]`` each.
        hits: motifs of sources in peaks.

    Returns:
        The edges by source, the strongest first, and the number of edges of a gene with itself, which are left out.
    """
    links = pl.DataFrame({"peak": peaks, "target": genes, "correlation": r})
    joined = links.join(pl.DataFrame({"peak": hits.peak, "source": hits.source}), on="peak")
    itself = joined.filter(pl.col("source") == pl.col("target"))
    found = (
        joined.filter(pl.col("source") != pl.col("target"))
        .with_columns(pl.col("correlation").abs().alias("weight"))
        .sort(["source", "target", "weight", "peak"], descending=[False, False, True, False])
        .group_by("source", "target", maintain_order=True)
        .agg(pl.col("weight").first(), pl.col("correlation").first(), pl.col("peak").n_unique().alias("peaks"))
        .sort(["source", "weight", "target"], descending=[False, True, False])
    )
    return found, itself["source"].n_unique()


def _no_edge(pairs: int, links: int, hits: int, settings: LinkSettings) -> str:
    return (
        f"no edge is left: {pairs} pairs of a gene and a peak within {settings.window:g} base pairs, "
        f"{links} of them with |r| above {settings.min_correlation}; {hits} motif hits "
        f"with a NES above {settings.min_nes}, none in a linked peak; expected all of them of one genome"
    )


def _table(edges: pl.DataFrame, data: Multiome) -> ResultTable:
    source, target = (edges[name].cast(pl.Int32).to_numpy() for name in ("source", "target"))
    pairs = PairList(data.genes, source, target)
    results = edges.select(RESULTS).to_numpy().astype(np.float32)
    rows = np.arange(len(edges), dtype=np.int32)
    return ResultTable(pairs, rows, results, RESULTS, after=edges.select("peaks"))


def _write_sidecar(inputs: LinkInputs, settings: LinkSettings, summary: LinkSummary) -> None:
    files: Mapping[str, str] = {name: path.name for name, path in vars(inputs).items()}
    metadata = {"files": files, "versions": versions(), "settings": asdict(settings), **asdict(summary)}
    text = json.dumps(metadata, indent=2, default=str) + "\n"
    replace_with(sidecar_path(summary.output), lambda part: part.write_text(text))
