"""Gene names: from what a user writes to a row of the vocabulary."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain

import numpy as np
import polars as pl

from ..arrays import Codes
from .matches import ABSENT, AMBIGUOUS, DATE, MOST_NAMED, NO_HOMOLOG, UNKNOWN, Matches, short
from .table import ALIAS, ENSEMBL, KINDS, MOUSE, SYMBOL, GeneTable, Identified, gene_table

NEAR_MATCHES = 50
A_DATE = re.compile(r"(\d\d?)-(mar|sep|dec|oct)|(mar|sep|dec|oct)-(\d\d?)", re.IGNORECASE)
BECAME_DATES = {"MAR": ("MARCH", "MARC"), "SEP": ("SEPT",), "DEC": ("DEC",), "OCT": ("OCT",)}


class GeneNames:
    """A vocabulary, whose genes are found by any of their names.

    A name is looked up as written, then without regard to case, then among the artifact's own aliases, then in the
    gene table of the package, by which a symbol, previous symbol, alias or id is matched with the row that is of the
    same gene; the vocabulary may itself hold old symbols, mouse symbols or ids. Where a list is seen to be of mouse
    genes, a mouse symbol goes through its one-to-one homolog first, for the human gene of the same letters may be
    another one.

    Args:
        symbols: V names of genes; row = id.
        aliases: other name -> name in the vocabulary. Those that clash with a name in the vocabulary are ignored.
    """

    def __init__(self, symbols: Sequence[str], aliases: Mapping[str, str] | None = None) -> None:
        self.symbols = list(symbols)
        self.aliases = dict(aliases or {})
        self._exact = {symbol: row for row, symbol in enumerate(self.symbols)}
        self._folded = {symbol.upper(): row for symbol, row in self._exact.items()}
        self._aliased = {
            alias.upper(): self._exact[symbol] for alias, symbol in self.aliases.items() if symbol in self._exact
        }

    def __len__(self) -> int:
        return len(self.symbols)

    def ids(self, names: Iterable[str], mouse: bool | None = None) -> Codes:
        """Rows of many genes, int32 ``[N]``; -1 where a name is not matched. See `match`."""
        written = list(names)
        found = self.match(written, mouse)
        return found.ids[found.places(written)]

    def match(self, names: Iterable[str], mouse: bool | None = None) -> Matches:
        """Look up names, and say what each is or why it was not matched.

        Args:
            names: of genes; a repeated one counts once.
            mouse: True where they are of mouse genes; None sees it from which species has more of them.

        Example:
            >>> load().artifact.names.match(["OCT4", "ENSG00000111704.12", "MLL2"]).describe()
        """
        distinct = list(dict.fromkeys(names))
        exact = _rows(self._exact, distinct)
        if all(row >= 0 or not name for row, name in zip(exact, distinct, strict=True)):
            kinds = np.where(exact >= 0, _plain_kinds(distinct), 0)  # the table need not be read
            return Matches(distinct, exact, kinds, np.where(exact < 0, UNKNOWN, 0), {})
        return self._match_by_table(distinct, exact, gene_table(), mouse)

    def near(self, name: str) -> list[str]:
        """Known names that look like an unknown one, best first: three at most."""
        found = difflib.get_close_matches(name.upper(), self._looked_like, n=3, cutoff=0.75)
        return list(dict.fromkeys(self.symbols[self._looked_like[match]] for match in found))

    def suggestions(self, matches: Matches, most: int = NEAR_MATCHES) -> dict[str, list[str]]:
        """The genes that may have been meant by unmatched names: those they may be of, or near matches of unknown
        names; these for the first `most`, as each takes about 0.05 s."""
        unknown = [name for name in matches.unmatched() if matches.fault(name) == UNKNOWN]
        meant = {name: list(genes) for name, genes in matches.genes.items() if matches.fault(name) != ABSENT}
        return meant | {name: self.near(name) for name in unknown[:most]}

    def table(self, matches: Matches) -> pl.DataFrame:
        """Every name with the gene of the vocabulary it was matched with: name, symbol, matched_as, reason and
        did_you_mean."""
        meant = self.suggestions(matches)
        columns = {
            "name": matches.names,
            "symbol": [self.symbols[row] if row >= 0 else "" for row in matches.ids],
            "matched_as": [KINDS[kind] for kind in matches.kinds],
            "reason": [matches.reason(name) for name in matches.names],
            "did_you_mean": [" ".join(meant.get(name, [])) for name in matches.names],
        }
        return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))

    def format_unmatched(self, matches: Matches) -> str:
        """The first unmatched names with reasons and suggestions, as a part of a message; empty for none."""
        names = matches.unmatched()
        first = names[:MOST_NAMED]
        meant = self.suggestions(matches, MOST_NAMED)
        either = {name: f"; did you mean {' or '.join(meant[name][:MOST_NAMED])}?" for name in first if meant.get(name)}
        said = [f"{name} ({short(matches.fault(name))}{either.get(name, '')})" for name in first]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return f"; not matched: {', '.join(said)}{more}" if names else ""

    @cached_property
    def _looked_like(self) -> dict[str, int]:
        """The names that `near` compares with: aliases and symbols, in upper case, and their rows."""
        return self._aliased | self._folded

    @cached_property
    def _identified(self) -> Identified:
        return gene_table().identify(self.symbols, vocabulary=True)

    @cached_property
    def _row_of_gene(self) -> Codes:
        """``[G]``: the row of every gene of the table, -1 for none; of several, that with the better name."""
        found = self._identified
        worst_first = np.lexsort((np.arange(len(self)), found.kinds))[::-1]
        rows = worst_first[found.genes[worst_first] >= 0]
        out = np.full(len(gene_table().symbols), -1, np.int32)
        out[found.genes[rows]] = rows  # the last one stays
        return out

    def _match_by_table(self, names: list[str], exact: Codes, table: GeneTable, mouse: bool | None) -> Matches:
        found = table.identify(names, mouse)
        by_gene = np.where(found.genes >= 0, self._row_of_gene[found.genes], -1)
        upper = [name.upper() for name in names]
        folded, aliased = _rows(self._folded, upper), _rows(self._aliased, upper)
        its_gene = self._identified.genes[folded]
        folded[(found.genes >= 0) & (its_gene >= 0) & (its_gene != found.genes)] = -1  # the same letters, not the gene
        alone = found.genes >= table.humans  # mouse genes without a homolog
        same = np.where(self._identified.genes[exact] == found.genes, exact, -1)
        of_mouse = _first(same, by_gene, np.where(alone, _first(exact, aliased), -1))
        named = found.mouse & (found.kinds == SYMBOL + MOUSE)
        ids = np.where(named, of_mouse, _first(exact, folded, aliased, by_gene))
        direct = np.where((ids == exact) | (ids == folded), _plain_kinds(names), ALIAS)
        kinds = np.where(ids < 0, 0, np.where(ids == by_gene, found.kinds, direct))
        dates = np.array([bool(A_DATE.fullmatch(name)) for name in names])
        unknown = np.where(dates, DATE, UNKNOWN)
        unknown[list(found.candidates)] = AMBIGUOUS
        faults = np.select([ids >= 0, found.genes < 0, alone], [0, unknown, NO_HOMOLOG], ABSENT)
        unmatched = ((place, names[place], int(faults[place])) for place in np.flatnonzero(faults).tolist())
        genes = {
            name: tuple(table.symbols[gene] for gene in _may_be(name, place, fault, found, table))
            for place, name, fault in unmatched
        }
        return Matches(names, ids, kinds, faults, genes)


def _may_be(name: str, place: int, fault: int, found: Identified, table: GeneTable) -> list[int]:
    """Rows of the genes that an unmatched name is of, or may be of."""
    gene = int(found.genes[place])
    if fault == AMBIGUOUS:
        return found.candidates[place]
    if fault == DATE:
        return _before_date(name, table)
    if fault == NO_HOMOLOG:
        return table.near(gene)
    return [gene] if fault == ABSENT else []


def _before_date(date: str, table: GeneTable) -> list[int]:
    """The genes whose names a spreadsheet takes for a date."""
    month, day = sorted(date.upper().split("-"), reverse=True)
    found = table.identify([f"{name}{int(day)}" for name in BECAME_DATES[month]])
    return sorted({gene for gene in found.genes.tolist() if gene >= 0} | set(chain(*found.candidates.values())))


def _rows(known: Mapping[str, int], names: Iterable[str]) -> Codes:
    return np.fromiter((known.get(name, -1) for name in names), np.int32)


def _first(*choices: Codes) -> Codes:
    """Of several rows for each name the first that is not -1."""
    out = choices[0]
    for other in choices[1:]:
        out = np.where(out >= 0, out, other)
    return out


def _plain_kinds(names: Iterable[str]) -> Codes:
    """The kinds of names that the vocabulary holds as they are written."""
    ids = {"ENSG": ENSEMBL, "ENSM": ENSEMBL + MOUSE}
    return np.fromiter((ids.get(name[:4], SYMBOL) for name in names), np.int32)
