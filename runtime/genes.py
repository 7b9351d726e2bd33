"""Gene names: from what a user writes to a row of the vocabulary."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

NEAR_MATCHES = 50


class GeneNames:
    """A vocabulary and the other names its genes go by.

    A name is looked up as written, then without regard to case, then among the aliases (previous symbols,
    synonyms, one-to-one homologs), also without regard to case.

    Args:
        symbols: V symbols; row = id.
        aliases: other name -> symbol. Names that clash with a symbol are ignored.
        first: name -> symbol, looked up before all else and exactly as written (homologs of one species).
    """

    def __init__(
        self,
        symbols: Sequence[str],
        aliases: Mapping[str, str] | None = None,
        first: Mapping[str, str] | None = None,
    ) -> None:
        self.symbols = list(symbols)
        self.aliases = dict(aliases or {})
        rows = {symbol: row for row, symbol in enumerate(self.symbols)}
        self._exact = rows | {name: rows[symbol] for name, symbol in (first or {}).items() if symbol in rows}
        self._folded: dict[str, int] = {}
        for alias, symbol in self.aliases.items():
            if symbol in rows:
                self._folded[alias.upper()] = rows[symbol]
        self._folded.update({symbol.upper(): row for symbol, row in rows.items()})

    def __len__(self) -> int:
        return len(self.symbols)

    def id_of(self, name: str) -> int:
        """Row of a gene, or -1 where the name is unknown."""
        row = self._exact.get(name)
        return self._folded.get(name.upper(), -1) if row is None else row

    def ids(self, names: Iterable[str]) -> NDArray[np.int32]:
        """Rows of many genes, int32 ``[N]``; -1 where a name is unknown."""
        return np.fromiter((self.id_of(name) for name in names), dtype=np.int32)

    def near(self, name: str, limit: int = 3) -> list[str]:
        """Known names that look like an unknown one, best first."""
        found = difflib.get_close_matches(name.upper(), self._folded, n=limit, cutoff=0.75)
        return list(dict.fromkeys(self.symbols[self._folded[match]] for match in found))

    def near_matches(self, unknown: Sequence[str]) -> dict[str, str]:
        """Near matches of unknown names, for the first `NEAR_MATCHES` of them: about 0.05 s each."""
        return {name: " ".join(self.near(name)) for name in unknown[:NEAR_MATCHES]}

    def say_unknown(self, unknown: Sequence[str]) -> str:
        """The first unknown names with near matches, as a part of a message; empty where there are none."""
        if not unknown:
            return ""
        first = [
            f"{name} (did you mean {' or '.join(near)}?)" if (near := self.near(name)) else name for name in unknown[:5]
        ]
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        return f"; unknown genes: {', '.join(first)}{more}"
