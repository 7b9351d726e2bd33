"""Tables of text, and how Markdown shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DASH = "–"

Cell = tuple[tuple[str, bool], ...]  # the numbers of a cell as text, and whether each is the best of its line


@dataclass(frozen=True)
class Grid:
    """A table: column names, and rows of one or two names followed by cells."""

    header: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Cell, ...]], ...]


def to_markdown(grid: Grid) -> str:
    """A grid as a Markdown table."""
    if not grid.rows:
        return "No results."
    lines = [tuple(map(plain, grid.header)), ("---",) * len(grid.header)]
    for names, cells in grid.rows:
        numbers = [" / ".join(f"**{text}**" if best else plain(text) for text, best in cell) for cell in cells]
        lines.append((*map(plain, names), *numbers))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(name: str) -> str:
    """A name that Markdown shows as it is."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*").replace("\n", " ")


def cells_of(*texts: str) -> tuple[Cell, ...]:
    """One cell to a text, none of them the best."""
    return tuple(((text, False),) for text in texts)


def best_of(values: Sequence[float | None], lowest: bool = False) -> list[bool]:
    """True for the best of some numbers as they are shown, to three digits, and for its ties; never for None."""
    shown = [None if value is None else round(value, 3) for value in values]
    best = (min if lowest else max)((value for value in shown if value is not None), default=None)
    return [value is not None and value == best for value in shown]


def in_order(found: Iterable[str], known: Sequence[str]) -> list[str]:
    """Distinct names: the known ones in their order, then the others as they come."""
    distinct = list(dict.fromkeys(found))
    return [name for name in known if name in distinct] + [name for name in distinct if name not in known]
