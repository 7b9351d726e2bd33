"""Networks over a vocabulary, from what `ugrn.runtime.files.networks` reads, or cell-specific (`cell_networks`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ugrn.runtime.arrays import Array, Codes
from ugrn.runtime.artifact.manifest import file_entry
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.networks import REGION, read_network_pairs, regulon_signs
from ugrn.runtime.files.pairs import PairList
from ugrn.runtime.genes.matches import Matches
from ugrn.runtime.genes.names import GeneNames
from ugrn.runtime.genes.pairs import ResolvedPairs, format_counts, resolve_pairs
from ugrn.runtime.runs.ranks import WEIGHTS

from .cell_networks import CellNetworks, is_cell_networks
from .network import Network, WeightedNetwork

SHARE = "share_of_cells"
STRENGTHS = (SHARE, "probability", *WEIGHTS)
"""Columns that say how strong an edge is, in this order."""


@dataclass(frozen=True, kw_only=True)
class NetworkFile(WeightedNetwork):
    """A network over a vocabulary that was read.

    Attributes:
        metadata: file, sha256, edges, genes, rows read, rows left out by reason, and of eRegulons the edges by sign.
        note: the same in a sentence.
        matches: the genes' names in the vocabulary.
    """

    metadata: dict[str, Any]
    note: str
    matches: Matches

    def rejects(self, names: GeneNames) -> pl.DataFrame:
        """The names that were not matched: name, reason, and what may have been meant."""
        return (
            names.table(self.matches)
            .filter((pl.col("reason") != "") & (pl.col("name") != ""))
            .select("name", "reason", "did_you_mean")
        )


def read_network(path: Path, names: GeneNames, weights: Sequence[str] = (SHARE,)) -> NetworkFile:
    """Read a network.

    Args:
        path: what `read_network_pairs` reads (pair lists, results, eRegulon tables, ``.gmt``), or cell-specific
            networks, whose edges then are those of any cell.
        names: the vocabulary.
        weights: columns of which the first that has a number for every edge becomes the weights; cell-specific
            networks have the share of cells.

    Raises:
        InputError: it cannot be read, or no edge is left.
    """
    pairs, idle = _read(path)
    resolved = resolve_pairs(pairs, names)
    rows = resolved.sorted_rows
    left_out = resolved.counts()
    if REGION in pairs.extra.columns and "duplicate" in left_out:
        left_out["further region of an edge"] = left_out.pop("duplicate")
    left_out |= {"of regulons that are active in no cell": idle} if idle else {}
    if len(rows) == 0:
        message = (
            f"{path}: no edge is left of {len(pairs) + idle} ({format_counts(left_out)})"
            f"{names.format_unmatched(resolved.matches)}; expected a network of genes that the artifact knows"
        )
        raise InputError(message)
    ends = [each.astype(np.int64) for each in resolved.gene_ids(rows)]
    network = Network(ends[0], ends[1], len(names))
    metadata = {
        "file": path.name,
        "sha256": file_entry(path)["sha256"],
        "edges": len(network),
        "genes": len(np.unique(np.concatenate(ends))),
        "read": len(pairs) + idle,
        "left_out": left_out,
        **_signs(pairs, rows),
    }
    found = _weights(pairs, rows, weights)
    return NetworkFile(
        network=network, weights=found, metadata=metadata, note=_describe(metadata, resolved), matches=resolved.matches
    )


def _read(path: Path) -> tuple[PairList, int]:
    """The edges of a file, and the number of those left out because no cell has them."""
    if not path.is_file():
        message = f"{path}: no such file; expected a network, e.g. with the columns source and target"
        raise InputError(message)
    if path.suffix.lower() == ".h5" and is_cell_networks(path):
        return _of_cells(CellNetworks.open(path))
    return read_network_pairs(path), 0


def _of_cells(found: CellNetworks) -> tuple[PairList, int]:
    whole, share = found.regulons.network, found.shares()[found.regulons.of_edge]
    some = share > 0
    ends = [each[some].astype(np.int32) for each in (whole.sources, whole.targets)]
    pairs = PairList(found.regulons.genes, ends[0], ends[1], None, pl.DataFrame({SHARE: share[some]}))
    return pairs, int((~some).sum())


def _weights(pairs: PairList, rows: Codes, columns: Sequence[str]) -> Array | None:
    folded = {name.lower(): name for name in reversed(pairs.extra.columns)}
    for name in (folded[each] for each in columns if each in folded):
        column = pairs.extra[name]
        if column.dtype.is_numeric() and column.cast(pl.Float64).is_finite().fill_null(False).gather(rows).all():
            return column.gather(rows).cast(pl.Float32).to_numpy()
    return None


def _signs(pairs: PairList, rows: Codes) -> dict[str, Any]:
    """Of regulons with signs, how many edges activate, repress, or do both in different regions."""
    signs = regulon_signs(pairs)
    if signs is None:
        return {}
    read = pl.DataFrame({"source": pairs.source, "target": pairs.target, "sign": signs}).drop_nulls()
    ends = ["source", "target"]
    of_edge = read.group_by(ends).agg(pl.col("sign").unique().sort().str.join())
    kept = pl.DataFrame({"source": pairs.source[rows], "target": pairs.target[rows]}).join(of_edge, on=ends)["sign"]
    counts = {name: int((kept == sign).sum()) for name, sign in (("activating", "+"), ("repressing", "-"))}
    both = len(kept) - sum(counts.values())
    return {"signs": counts | ({"of both kinds": both} if both else {})} if len(kept) else {}


def _describe(metadata: Mapping[str, Any], resolved: ResolvedPairs) -> str:
    said = f"{metadata['file']}: {metadata['edges']:,} edges between {metadata['genes']:,} genes"
    if "signs" in metadata:
        said += f" ({format_counts(metadata['signs'])})"
    if metadata["left_out"]:
        left_out = format_counts(metadata["left_out"])
        said += f"; {metadata['read'] - metadata['edges']:,} of {metadata['read']:,} rows left out ({left_out})"
    return said + (f"; {resolved.matches.note()}" if resolved.matches.note() else "")
