"""Links of peaks and genes by correlation, and the edges that motifs in linked peaks make of them.

Shapes: N cells, G genes, P peaks, L pairs of a gene and a peak near it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from ugrn.runtime.arrays import Doubles, Ids
from ugrn.runtime.progress import Progress

from .multiome import Hits

TINY = 1e-10  # of the sum of squares: a variance that is rounding


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
