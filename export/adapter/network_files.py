"""Networks from files, over the genes of a backbone's vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.artifact import file_entry
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes import GeneNames
from ugrn.runtime.pair_files import read_pairs
from ugrn.runtime.pairs import resolve_pairs, say_counts

from .networks import Network


@dataclass(frozen=True)
class NetworkFile:
    """A network that was read.

    Attributes:
        network: over the whole vocabulary.
        facts: of the file, for the manifest.
        note: one line that says how reading went.
        weights: float32 ``[E]``, what every edge counts; None where all count the same.
    """

    network: Network
    facts: dict[str, Any]
    note: str
    weights: NDArray[np.float32] | None = None


def read_network(path: Path, names: GeneNames) -> NetworkFile:
    """Read a network: any pair list that ``ugrn score`` reads.

    Raises:
        InputError: nothing can be read from the file, or none of its edges is between genes of the vocabulary.
    """
    resolved = resolve_pairs(read_pairs(path), names)
    given, taken = len(resolved.pairs), resolved.accepted
    why = say_counts(resolved.counts())
    if not taken:
        message = (
            f"{path}: none of its {given:,} edges can be used ({why}){names.say_unmatched(resolved.matches)}; expected "
            "names of genes, one source and one target per line"
        )
        raise InputError(message)
    sources, targets = (ids.astype(np.int64) for ids in resolved.gene_ids(resolved.sorted_rows))
    network = Network.of(sources, targets, len(names))
    facts = {"file": path.name, "sha256": file_entry(path)["sha256"], "edges": taken, "given": given}
    note = f"{path.name}: {taken:,} of {given:,} edges taken" + (f" ({why})" if why else "")
    return NetworkFile(network, facts | {"left_out": resolved.counts()}, note)
