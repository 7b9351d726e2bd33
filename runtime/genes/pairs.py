"""Pair lists: resolving gene names, and setting aside what cannot be scored.

Pairs that cannot be scored are rejected with a reason, never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..arrays import Codes
from ..errors import PairListError
from ..files.pairs import PairList
from .matches import FAULTS, Matches, count_reasons
from .names import GeneNames


def _of_pair(source: int, target: int) -> str:
    """The reason for which a pair is rejected, of the faults of its two names."""
    if source == target:
        return FAULTS[source].format("source and target")
    return " and ".join(filter(None, (FAULTS[source].format("source"), FAULTS[target].format("target"))))


_OF_NAMES = [_of_pair(source, target) for target in range(len(FAULTS)) for source in range(len(FAULTS))][1:]
REASONS = ("", "empty name", *_OF_NAMES, "self-pair", "duplicate")
EMPTY, SELF, DUPLICATE = 1, len(REASONS) - 2, len(REASONS) - 1


@dataclass(frozen=True)
class ResolvedPairs:
    """A pair list with every name looked up.

    Attributes:
        pairs: the list as written.
        matches: what became of its distinct names.
        ids: int32 ``[G]``, vocabulary row of each of its names, -1 where it was not matched.
        reason: uint8 ``[N]`` into `REASONS`; 0 where the pair will be scored.
        sorted_rows: int32, rows of the pairs that will be scored, sorted by source id, then target id.
    """

    pairs: PairList
    matches: Matches
    ids: Codes
    reason: NDArray[np.uint8]
    sorted_rows: Codes

    @property
    def accepted(self) -> int:
        """Number of pairs that will be scored."""
        return len(self.sorted_rows)

    def counts(self) -> dict[str, int]:
        """Rejected pairs by reason."""
        return count_reasons(self.reason, REASONS)

    def require(self, names: GeneNames, strict: bool = False) -> None:
        """Refuse a list of which nothing can be scored or, with `strict`, not everything.

        Raises:
            PairListError: with the counts, and the first names that were not matched.
        """
        if self.accepted and not (strict and self.counts()):
            return
        why = "strict asks for none of these" if self.accepted else "none is left to score"
        message = (
            f"{len(self.pairs) - self.accepted} of {len(self.pairs)} pairs cannot be scored "
            f"({format_counts(self.counts())}){names.format_unmatched(self.matches)}; {why}: "
            "expected names of genes, one source and one target per line"
        )
        raise PairListError(message)

    def accepted_rows(self) -> Codes:
        """Rows ``[n]`` of the pairs that will be scored, in the user's order."""
        return np.sort(self.sorted_rows)

    def gene_ids(self, rows: Codes) -> tuple[Codes, Codes]:
        """Vocabulary rows ``[n]`` of the sources and of the targets of some pairs ``[n]``."""
        return self.ids[self.pairs.source[rows]], self.ids[self.pairs.target[rows]]

    def rejects(self, names: GeneNames) -> pl.DataFrame:
        """The rejected pairs: row (1 is the first pair), source, target, reason, and what may have been meant."""
        rows = np.flatnonzero(self.reason)
        written = np.array([*self.pairs.genes, ""], dtype=object)
        source, target = written[self.pairs.source[rows]], written[self.pairs.target[rows]]
        details = {name: self.matches.detail(name) for name in self.matches.unmatched()}
        meant = {name: " ".join(genes) for name, genes in names.suggestions(self.matches).items()}
        listed = list(zip(source, target, strict=True))
        reasons = [REASONS[code] for code in self.reason[rows]]
        texts = {
            "source": source,
            "target": target,
            "reason": [text + _of_both(details, pair, "") for text, pair in zip(reasons, listed, strict=True)],
            "did_you_mean": [_of_both(meant, pair, "; ") for pair in listed],
        }
        table = pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String))
        return table.insert_column(0, pl.Series("row", rows + 1, pl.Int64))


def _of_both(texts: Mapping[str, str], pair: tuple[str, str], between: str) -> str:
    """The texts of the two names of a pair."""
    return between.join(dict.fromkeys(filter(None, map(texts.get, pair))))


def format_counts(counts: Mapping[str, int]) -> str:
    """Rejected pairs by reason, in words."""
    return ", ".join(f"{number} {reason}" for reason, number in counts.items())


def resolve_pairs(pairs: PairList, names: GeneNames) -> ResolvedPairs:
    """Look up every name and mark the pairs that cannot be scored."""
    matches = names.match(pairs.genes)
    place = matches.places(pairs.genes)
    ids, fault = matches.ids[place], matches.faults[place]
    source, target = ids[pairs.source], ids[pairs.target]
    empty = np.array([not name for name in pairs.genes], bool)
    reason = np.where(source == target, SELF, 0).astype(np.uint8)
    faults = len(FAULTS) * fault[pairs.target] + fault[pairs.source]
    reason[faults > 0] = EMPTY + faults[faults > 0]
    reason[empty[pairs.source] | empty[pairs.target]] = EMPTY
    rows = np.flatnonzero(reason == 0).astype(np.int32)
    key = source[rows].astype(np.int64) * len(names) + target[rows]
    first = rows[np.unique(key, return_index=True)[1]]  # sorted by source, then target
    reason[rows] = DUPLICATE
    reason[first] = 0
    return ResolvedPairs(pairs, matches, ids, reason, first)
