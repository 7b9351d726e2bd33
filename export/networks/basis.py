"""The network that cell-specific ones are made of: scored, or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ugrn.runtime import NetworkSettings, Scorer
from ugrn.runtime.arrays import Array
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.lists import GeneList, GenesLike, read_network_genes
from ugrn.runtime.genes.names import GeneNames
from ugrn.runtime.progress import Progress
from ugrn.runtime.runs.network import network_table

from .network import Network
from .network_files import STRENGTHS, read_network

REJECTS = {"list": pl.String, "line": pl.Int64, "name": pl.String, "reason": pl.String, "did_you_mean": pl.String}


@dataclass(frozen=True)
class Basis:
    """The network that the cells' networks are made of.

    Attributes:
        network: over the vocabulary, edges by key order.
        weights: float32 ``[E]``, or None.
        metadata: its origin.
        notes: the same, for people.
        rejects: names that could not be used: list, line, name, reason, did_you_mean.
    """

    network: Network
    weights: Array | None
    metadata: dict[str, Any]
    notes: list[str]
    rejects: pl.DataFrame


def scored_basis(
    scorer: Scorer, sources: GenesLike | None, targets: GenesLike | None, asked: NetworkSettings, progress: Progress
) -> Basis:
    """Score a network in memory.

    Raises:
        InputError: as of `Scorer.network_file`, or no edge is left.
    """
    names = scorer.artifact.names
    genes = read_network_genes(sources, targets, names)
    genes.require(names, asked.strict)
    table = network_table(scorer.artifact, scorer.settings, genes, asked, progress)
    parts = list(table.batches())
    if len(table) == 0:
        message = f"no edge of {genes.pairs} pairs is left; lower --min-probability ({asked.min_probability})"
        raise InputError(message)
    source, target = (
        _rows(each, table.genes)[np.concatenate([part[end] for part in parts])]
        for end, each in enumerate((genes.sources, genes.targets))
    )
    probability = pl.concat([part[2] for part in parts])["probability"].to_numpy()
    order = np.argsort(source * len(names) + target)
    network = Network(source[order], target[order], len(names))
    found = genes.rejects(names)
    metadata = {"scored": genes.pairs, "edges": len(network), "settings": asdict(asked)}
    notes = [f"{label}: {note}" for label, note in genes.notes().items()]
    notes.append(f"{genes.pairs:,} pairs scored, {len(network):,} edges kept")
    return Basis(network, probability[order], metadata, notes, pl.DataFrame(schema=REJECTS) if found is None else found)


def listed_basis(path: Path, names: GeneNames) -> Basis:
    """Read the network of a file; see `read_network`."""
    found = read_network(path, names, STRENGTHS)
    rejects = found.rejects(names).select(
        pl.lit("network").alias("list"), pl.lit(None, pl.Int64).alias("line"), pl.all()
    )
    return Basis(found.network, found.weights, found.metadata, [found.note], rejects)


def _rows(listed: GeneList, genes: Sequence[str]) -> NDArray[np.int64]:
    """Vocabulary rows of some names of a list; -1 for names that are not on it."""
    known = dict(zip(listed.used()[0], listed.used()[1].tolist(), strict=True))
    return np.array([known.get(name, -1) for name in genes], np.int64)
