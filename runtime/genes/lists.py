"""Gene lists: the sources and the targets of a network, one name per line.

Names that cannot be used are rejected with a reason, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..arrays import Codes
from ..errors import GeneListError
from ..files.annotations import UnreadableCells
from ..files.cells import open_cells
from ..files.text import STANDARD_INPUT, UNREADABLE_TEXT, is_readable, open_text
from .matches import FAULTS, Matches, count_reasons
from .names import GeneNames
from .pairs import format_counts

REASONS = ("", "empty name", *(fault.format("gene") for fault in FAULTS[1:]), "duplicate")
EMPTY, DUPLICATE = 1, len(REASONS) - 1

GenesLike = Path | str | Iterable[str]


@dataclass(frozen=True)
class GeneList:
    """A gene list with every name looked up.

    Attributes:
        label: ``sources`` or ``targets``.
        names: N names as written.
        lines: line of each (of a Python list: its place), 1 is the first.
        matches: what became of the distinct names.
        ids: int32 ``[N]``, vocabulary row of each name, -1 where it was not matched.
        reason: uint8 ``[N]`` into `REASONS`; 0 where the gene is used.
        column: of a file of cells, where the names were found; else empty.
    """

    label: str
    names: list[str]
    lines: list[int]
    matches: Matches
    ids: Codes
    reason: NDArray[np.uint8]
    column: str = ""

    def used(self) -> tuple[list[str], Codes]:
        """Names and vocabulary rows ``[n]`` of the genes that are used, in the list's order."""
        rows = np.flatnonzero(self.reason == 0)
        return [self.names[row] for row in rows], self.ids[rows]

    def counts(self) -> dict[str, int]:
        """Rejected names by reason."""
        return count_reasons(self.reason, REASONS)

    def require(self, names: GeneNames, strict: bool = False) -> None:
        """Refuse a list of which nothing can be used or, with `strict`, not everything.

        Raises:
            GeneListError: with the counts, and the first names that were not matched.
        """
        usable = int((self.reason == 0).sum())
        if usable and not (strict and self.counts()):
            return
        why = "strict asks for none of these" if usable else "none is left to score"
        where = f" (from {self.column})" if self.column else ""
        tables = sum("," in name or "\t" in name for name in self.names)
        hint = "; these lines look like a table: give one of its columns" if 2 * tables > len(self.names) else ""
        message = (
            f"{len(self.names) - usable} of {len(self.names)} {self.label}{where} cannot be used "
            f"({format_counts(self.counts())}){names.format_unmatched(self.matches)}; {why}: "
            f"expected names of genes, one per line{hint}"
        )
        raise GeneListError(message)

    def rejects(self, names: GeneNames) -> pl.DataFrame:
        """The rejected names: list, line, name, reason, and what may have been meant."""
        meant = names.suggestions(self.matches)
        table = []
        for row in np.flatnonzero(self.reason):
            name, code = self.names[row], self.reason[row]
            reason = REASONS[code] if code in (EMPTY, DUPLICATE) else self.matches.reason(name)
            table.append((self.label, self.lines[row], name, reason, " ".join(meant.get(name, []))))
        text = pl.String()
        schema = {"list": text, "line": pl.Int64(), "name": text, "reason": text, "did_you_mean": text}
        return pl.DataFrame(table, schema=schema, orient="row")


def read_genes(label: str, genes: GenesLike | None, names: GeneNames) -> GeneList:
    """Read a gene list and look up its names.

    Args:
        label: what the list is, for messages.
        genes: a text file (also ``.gz``; ``-``: standard input) with one name per line, blank lines passed over; a
            file of cells (``.h5ad``), whose genes are taken; names; or None for every gene of the vocabulary.
        names: the vocabulary.

    Raises:
        GeneListError: the list cannot be read, or is empty.
    """
    column, lines = "", list[int]()
    if not isinstance(genes, str | Path):
        written = _stripped(label, names.symbols if genes is None else genes)
    elif not is_readable(Path(genes)):
        message = f"{genes}: no such file; expected the {label}, one gene per line (.txt, also .gz), or cells (.h5ad)"
        raise GeneListError(message)
    elif Path(genes).suffix == ".h5ad":
        column, written = _of_cells(Path(genes), names)
    else:
        lines, written = _read_lines(Path(genes), label)
    if not written:
        where = f" ({genes})" if isinstance(genes, str | Path) else ""
        message = f"{label}{where}: no genes found; expected one per line"
        raise GeneListError(message)
    matches = names.match(written)
    place = matches.places(written)
    ids, faults = matches.ids[place], matches.faults[place]
    reason = np.full(len(ids), DUPLICATE)
    reason[np.unique(ids, return_index=True)[1]] = 0
    reason[faults > 0] = EMPTY + faults[faults > 0]
    reason[[not name for name in written]] = EMPTY
    lines = lines or list(range(1, len(written) + 1))
    return GeneList(label, written, lines, matches, ids, reason.astype(np.uint8), column)


@dataclass(frozen=True)
class NetworkGenes:
    """The sources and the targets of a network."""

    sources: GeneList
    targets: GeneList

    @property
    def self_pairs(self) -> int:
        """Genes that are on both lists; their pairs with themselves are left out."""
        return len(np.intersect1d(self.sources.used()[1], self.targets.used()[1]))

    @property
    def pairs(self) -> int:
        """Number of pairs that are scored."""
        return len(self.sources.used()[1]) * len(self.targets.used()[1]) - self.self_pairs

    def require(self, names: GeneNames, strict: bool = False) -> None:
        """Refuse lists that leave nothing to score or, with `strict`, of which anything is rejected.

        Raises:
            GeneListError: with the counts, and the first names that were not matched.
        """
        self.sources.require(names, strict)
        self.targets.require(names, strict)
        if self.pairs == 0:
            message = f"the only source, {self.sources.used()[0][0]}, is the only target; expected two different genes"
            raise GeneListError(message)

    def counts(self) -> dict[str, dict[str, int]]:
        """Rejected names by list and reason; only lists that have any."""
        return {each.label: each.counts() for each in (self.sources, self.targets) if each.counts()}

    def notes(self) -> dict[str, str]:
        """`Matches.note` of the names, by list; only lists that do not hold plain symbols alone."""
        return {each.label: each.matches.note() for each in (self.sources, self.targets) if each.matches.note()}

    def columns(self) -> dict[str, str]:
        """Of lists that are files of cells, where their genes' names were found."""
        return {each.label: each.column for each in (self.sources, self.targets) if each.column}

    def rejects(self, names: GeneNames) -> pl.DataFrame | None:
        """The rejected names of both lists, or None where there are none."""
        return pl.concat([each.rejects(names) for each in (self.sources, self.targets)]) if self.counts() else None


def read_network_genes(sources: GenesLike | None, targets: GenesLike | None, names: GeneNames) -> NetworkGenes:
    """Read both lists; see `read_genes`."""
    if str(sources) == str(targets) == STANDARD_INPUT:
        message = "standard input (-) can be read once; give one of the two lists as a file"
        raise GeneListError(message)
    return NetworkGenes(read_genes("sources", sources, names), read_genes("targets", targets, names))


def _stripped(label: str, genes: Iterable[object]) -> list[str]:
    """Names without white space around them; each must be a text."""
    written = []
    for name in genes:
        if not isinstance(name, str):
            message = f"{label}: expected gene names as text, found {name!r}"
            raise GeneListError(message)
        written.append(name.strip())
    return written


def _of_cells(path: Path, names: GeneNames) -> tuple[str, list[str]]:
    """The genes of a file of cells."""
    try:
        with open_cells(path) as cells:
            return cells.genes(names.ids)
    except UnreadableCells as error:
        raise GeneListError(str(error)) from error


def _read_lines(path: Path, label: str) -> tuple[list[int], list[str]]:
    """Numbers and text of the lines that are not blank."""
    try:
        with open_text(path) as file:
            text = file.read().decode("utf-8-sig")
    except UNREADABLE_TEXT as error:
        message = f"{path}: not a readable text file ({error}); expected the {label}, one gene per line, in UTF-8"
        raise GeneListError(message) from error
    found = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [number for number, _ in found], [name for _, name in found]
