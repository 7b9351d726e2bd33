"""The names of a list, looked up: those that were matched, as what, and why others were not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Codes
from .table import KINDS, SYMBOL

FAULTS = (
    "",
    "unknown {}",
    "ambiguous {}",
    "{} turned into a date by a spreadsheet",
    "{} without a one-to-one human homolog",
    "{} not in the vocabulary",
)
UNKNOWN, AMBIGUOUS, DATE, NO_HOMOLOG, ABSENT = range(1, len(FAULTS))
MOST_NAMED = 5

Numbers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Matches:
    """N distinct names, looked up.

    Attributes:
        names: as written.
        ids: int32 ``[N]`` rows of the vocabulary; -1 where a name was not matched.
        kinds: ``[N]`` into `KINDS`: what a matched name is; 0 where it was not matched.
        faults: ``[N]`` into `FAULTS`: why a name was not matched; 0 where it was.
        genes: symbols of the genes that an unmatched name is of or may be of, where any are known.
    """

    names: list[str]
    ids: Codes
    kinds: Numbers
    faults: Numbers
    genes: Mapping[str, tuple[str, ...]]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def places(self, written: Iterable[str]) -> NDArray[np.intp]:
        """Places ``[n]`` in `names` of some names, of which some may be repeated."""
        return np.fromiter((self._place[name] for name in written), np.intp)

    def unmatched(self) -> list[str]:
        """The names that were not matched, less the empty one."""
        return [self.names[place] for place in np.flatnonzero(self.faults) if self.names[place]]

    def fault(self, name: str) -> int:
        """Why a name was not matched, into `FAULTS`; 0 where it was."""
        return int(self.faults[self._place[name]])

    def matched_as(self) -> dict[str, int]:
        """Number of names that were matched as each of `KINDS`, the most frequent first."""
        return {KINDS[kind]: count for kind, count in Counter(self.kinds[self.kinds > 0].tolist()).most_common()}

    def not_matched(self) -> dict[str, int]:
        """Number of names that were not matched, by reason."""
        found = Counter(self.fault(name) for name in self.unmatched())
        return {short(fault): found[fault] for fault in sorted(found)}

    def describe(self) -> str:
        """One sentence: how many names were matched as what, and how many were not and why."""
        total, matched, missing = sum(map(bool, self.names)), self.matched_as(), self.not_matched()
        counts = [f"{count:,} as {_plural(kind)}" for kind, count in matched.items()]
        if counts:
            counts[0] = counts[0].replace(" as", f" of {total:,} names matched as", 1)
        said = ", ".join(counts) or f"none of {total:,} names matched"
        why = ", ".join(f"{count:,} {reason}" for reason, count in missing.items())
        said += f"; {sum(missing.values()):,} not matched ({why})" if missing else ""
        several = self.several_names()
        return said + (
            f"; {several:,} genes bear several of these names, and results keep them apart" if several else ""
        )

    def metadata(self) -> dict[str, Any]:
        """The counts, for the JSON beside a result."""
        counted = {"distinct": len(self.names), "unknown": len(self.unmatched())}
        return counted | {"matched_as": self.matched_as(), "not_matched": self.not_matched()}

    def note(self) -> str:
        """`describe`, or nothing where every name is a plain symbol."""
        plain = not set(self.kinds.tolist()) - {0, SYMBOL} and not self.unmatched() and not self.several_names()
        return "" if plain else self.describe()

    def several_names(self) -> int:
        """Number of genes that more than one of the names was matched with."""
        return int((np.unique(self.ids[self.ids >= 0], return_counts=True)[1] > 1).sum())

    def reason(self, name: str, what: str = "gene") -> str:
        """Why a name was not matched, said of e.g. a ``source``; empty where it was."""
        return FAULTS[self.fault(name)].format(what) + self.detail(name)

    def detail(self, name: str) -> str:
        """The gene that an unmatched name is of, or the genes it may be of, as an addition to its reason."""
        genes = self.genes.get(name, ())
        if self.fault(name) == NO_HOMOLOG or set(genes) <= {name}:
            return ""
        more = f" and {len(genes) - MOST_NAMED} more" if len(genes) > MOST_NAMED else ""
        return f" ({name}: {' or '.join(genes[:MOST_NAMED])}{more})"


def count_reasons(codes: NDArray[np.uint8], reasons: Sequence[str]) -> dict[str, int]:
    """Number of codes ``[N]`` that stand for each reason; the first one, and those of none, are left out."""
    found = np.bincount(codes, minlength=len(reasons))
    return {reason: int(n) for reason, n in zip(reasons[1:], found[1:], strict=True) if n}


def short(fault: int) -> str:
    """A reason without what it is said of."""
    return FAULTS[fault].format("").strip()


def _plural(kind: str) -> str:
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"
