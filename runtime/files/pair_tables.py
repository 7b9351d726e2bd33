"""The columns of pair lists that are text or Parquet, found and read chunk by chunk."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import polars as pl

from ..errors import PairListError
from .tables import CHUNK_ROWS, ENDS, distinct
from .text import UNREADABLE_TABLE, UNREADABLE_TEXT, open_text

CHUNK_BYTES = 4 << 20
SOURCE_NAMES = ("source", "tf", "regulator", "from", "regulatorygene", "gene1")
TARGET_NAMES = ("target", "gene", "to", "targetgene", "gene2")


def _places(columns: Sequence[str]) -> tuple[int, int] | None:
    """Places of source and target by the columns' names; None where these do not tell."""
    folded = [column.strip().lower() for column in columns]
    found = [
        next((folded.index(name) for name in names if name in folded), -1) for names in (SOURCE_NAMES, TARGET_NAMES)
    ]
    return None if min(found) < 0 else (found[0], found[1])


def _arrange(columns: Sequence[str], places: tuple[int, int]) -> list[tuple[int, str]]:
    """Place and new name of each column: source, target, then the others in their order, with distinct names."""
    others = [place for place in range(len(columns)) if place not in places]
    names = distinct((columns[place] or f"column_{place + 1}" for place in others), ENDS, "_2")
    return list(zip([*places, *others], [*ENDS, *names], strict=True))


def pair_columns(columns: Sequence[str], where: str) -> list[pl.Expr]:
    """Expressions for the columns of a table: source, target, then the others.

    Raises:
        PairListError: there are not two.
    """
    if len(columns) < 2:
        message = f"{where}: found columns {list(columns)}; expected 'source' and 'target', or two columns"
        raise PairListError(message)
    return [pl.col(columns[place]).alias(name) for place, name in _arrange(columns, _places(columns) or (0, 1))]


def parquet_chunks(path: Path) -> Iterator[pl.DataFrame]:
    """A Parquet table in chunks: source, target, then the others."""
    lazy = pl.scan_parquet(path)
    lazy = lazy.select(pair_columns(lazy.collect_schema().names(), str(path)))
    total = int(lazy.select(pl.len()).collect().item())
    for start in range(0, total, CHUNK_ROWS):
        yield lazy.slice(start, CHUNK_ROWS).collect()


def text_chunks(path: Path) -> tuple[bool, Iterator[pl.DataFrame]]:
    """A text table: True where its first line is a header, and its chunks: source, target, then the others, as text.

    Raises:
        PairListError: it cannot be read, or a line has too few or too many columns.
    """
    lines = _line_chunks(path)
    try:
        head = next(lines, [])
        first = head[0][1].decode("utf-8").rstrip("\r\n") if head else ""
    except UNREADABLE_TEXT as error:
        message = f"{path}: not a readable text file ({error}); expected .csv or .tsv in UTF-8, or .gz of one"
        raise PairListError(message) from error
    separator, fields = _split_first(first, ".tsv" in [suffix.lower() for suffix in path.suffixes])
    if not head:
        message = f"{path}: is empty; expected one source and one target per line"
        raise PairListError(message)
    if len(fields) < 2:
        message = f"{path}: first line {first[:60]!r} has one column; expected source and target, by comma or tab"
        raise PairListError(message)
    places = _places(fields)
    if places is None:
        columns = _arrange(_unnamed(fields), (0, 1))
    else:
        columns, head = _arrange(fields, places), head[1:]
    return places is not None, (_parse(rows, separator, columns, path) for rows in chain([head], lines) if rows)


def _unnamed(fields: Sequence[str]) -> list[str]:
    """Columns of a table without header; three of which the last is a number are GRNBoost2's."""
    if len(fields) == 3:
        with suppress(ValueError):
            float(fields[2])
            return [*ENDS, "importance"]
    return [""] * len(fields)


def _split_first(line: str, tabs: bool) -> tuple[str, list[str]]:
    """Separator and fields of a first line: by column names, else by file name, else by count."""
    ways = {separator: [field.strip() for field in _fields(line, separator)] for separator in "\t,;"}
    for separator, fields in ways.items():
        if _places(fields) is not None:
            return separator, fields
    separator = "\t" if tabs and "\t" in line else max(ways, key=lambda sep: len(ways[sep]))
    return separator, ways[separator]


def _fields(text: str, separator: str) -> list[str]:
    """The fields of a record, which may span lines where it is quoted."""
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])


def _line_chunks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """The lines that are not blank, with their numbers; lines that a quoted field spans are one."""
    number = 0
    with open_text(path) as file:
        while lines := file.readlines(CHUNK_BYTES):
            if number == 0:
                lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
            quotes = sum(line.count(b'"') for line in lines)
            while quotes % 2 and (line := file.readline()):
                quotes += line.count(b'"')
                lines.append(line)
            whole = enumerate(lines, 1) if quotes == 0 or quotes % 2 else _records(lines)
            if rows := [(number + index, line) for index, line in whole if line.strip()]:
                yield rows
            number += len(lines)


def _records(lines: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines, joined to the next while a quote is open, with the number of the first from 1."""
    first, joined, is_open = 1, list[bytes](), False
    for number, line in enumerate(lines, 1):
        joined.append(line)
        is_open ^= line.count(b'"') % 2 == 1
        if not is_open:
            yield first, b"".join(joined)
            first, joined = number + 1, []


def _parse(rows: list[tuple[int, bytes]], separator: str, columns: list[tuple[int, str]], path: Path) -> pl.DataFrame:
    least, most = max(place for place, _ in columns[:2]) + 1, len(columns)
    for number, line in rows:
        if line.count(separator.encode()) < least - 1:
            message = (
                f"{path}, line {number}: found {line[:60].decode(errors='replace').strip()!r}; "
                f"expected at least {least} columns separated by {separator!r}"
            )
            raise PairListError(message)
    header = separator.join(str(place) for place in range(most)) + "\n"
    try:
        table = pl.read_csv(
            io.BytesIO(b"".join([header.encode(), *(line for _, line in rows)])),
            separator=separator,
            infer_schema_length=0,
        )
    except UNREADABLE_TABLE as error:
        for first, record in rows:
            for number, text in enumerate(record.decode(errors="replace").splitlines(), first):
                found = len(_fields(text, separator))
                if found > most:
                    message = f"{path}, line {number}: found {found} columns; expected {most}, as in the first line"
                    raise PairListError(message) from error
        message = f"{path}, from line {rows[0][0]}: cannot be read as a table ({error})"
        raise PairListError(message) from error
    return table.select(pl.col(str(place)).alias(name) for place, name in columns)
