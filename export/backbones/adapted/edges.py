"""The networks of an adapter as one table of edges, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from ...networks.network import Network, WeightedNetwork

SCHEMA = {"source": pl.String, "target": pl.String, "level": pl.Int32, "weight": pl.Float32}


class MismatchError(ValueError):
    """A file of an adapted backbone is not as it was written, or does not fit the others."""


def edge_table(networks: Sequence[WeightedNetwork], symbols: Sequence[str]) -> pl.DataFrame:
    """Edges of all networks: source, target, level (which network), and weight (missing where all are alike)."""
    names = pl.Series(symbols, dtype=pl.String)
    return pl.concat(
        pl.DataFrame(
            {
                "source": names.gather(each.network.sources),
                "target": names.gather(each.network.targets),
                "level": np.full(len(each.network), level, np.int32),
                "weight": pl.Series(each.weights, dtype=pl.Float32)
                if each.weights is not None
                else pl.repeat(None, len(each.network), dtype=pl.Float32, eager=True),
            }
        )
        for level, each in enumerate(networks)
    )


def networks_of(edges: pl.DataFrame, symbols: Sequence[str], levels: int) -> list[WeightedNetwork]:
    """The networks of a table that `edge_table` made.

    Raises:
        MismatchError: it is another table, or of other genes.
    """
    if dict(edges.schema) != SCHEMA:
        message = f"edges with the columns {dict(edges.schema)}, expected {SCHEMA}"
        raise MismatchError(message)
    rows = {symbol: row for row, symbol in enumerate(symbols)}
    strange = sorted({str(name) for end in ("source", "target") for name in edges[end].unique() if name not in rows})
    if strange:
        message = f"edges of genes that the backbone does not know: {', '.join(strange[:8])}"
        raise MismatchError(message)
    return [_network(edges.filter(pl.col("level") == level), rows, level) for level in range(levels)]


def _network(edges: pl.DataFrame, rows: dict[str, int], level: int) -> WeightedNetwork:
    sources, targets = (np.array([rows[name] for name in edges[end]], np.int64) for end in ("source", "target"))
    network = Network.of(sources, targets, len(rows))
    if not np.array_equal(network.keys(), sources * len(rows) + targets):
        message = f"edges of network {level} are repeated, lead to themselves or were put in another order"
        raise MismatchError(message)
    return WeightedNetwork(network, None if edges["weight"].null_count() else edges["weight"].to_numpy())
