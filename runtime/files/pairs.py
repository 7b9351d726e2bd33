"""Reading pair lists: CSV and TSV (also ``.gz``), Parquet, HDF5 pair batches, data frames and tuples.

Text and Parquet are read chunk by chunk: a pair keeps two int32, each distinct name is held once, and the other
columns are kept as they are.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import cast

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..arrays import Codes
from ..errors import PairListError
from .pandas_frames import FrameLike, from_pandas
from .tables import ENDS, distinct
from .text import is_readable, open_text

CHUNK_BYTES = 4 << 20
CHUNK_ROWS = 1 << 17
SOURCE_NAMES = ("source", "tf", "regulator", "from", "regulatorygene", "gene1")
TARGET_NAMES = ("target", "gene", "to", "targetgene", "gene2")

PairsLike = Path | str | pl.DataFrame | FrameLike | Iterable[tuple[str, str]]


@dataclass(frozen=True)
class PairList:
    """A pair list as the user wrote it.

    Attributes:
        genes: the G distinct names.
        source, target: int32 ``[N]`` into `genes`.
        header: whether the first line of a text file was read as column names; None for other inputs.
        extra: the other columns of the list, N rows, or no column at all.
    """

    genes: list[str]
    source: Codes
    target: Codes
    header: bool | None = None
    extra: pl.DataFrame = field(default_factory=pl.DataFrame)

    def __len__(self) -> int:
        return len(self.source)


def read_pairs(pairs: PairsLike) -> PairList:
    """Read a pair list.

    Args:
        pairs: a file (``.csv``, ``.tsv``, ``.txt``, each also ``.gz``; ``.parquet``; ``.h5``; ``-`` for CSV or TSV
            from standard input), a polars or pandas data frame, or (source, target) tuples. Columns are found by
            their names (`SOURCE_NAMES`, `TARGET_NAMES`); else the first two count. Blank lines of text files are
            passed over.

    Raises:
        PairListError: nothing can be read from it.
    """
    if not isinstance(pairs, str | Path):
        return _intern(_table_chunks(pairs), None, "the pair list")
    path = Path(pairs)
    if not is_readable(path):
        message = f"{path}: no such file; expected a pair list (.csv, .tsv, .txt, also .gz; .parquet; .h5)"
        raise PairListError(message)
    suffix = path.suffix.lower()
    if suffix == ".h5":
        return _read_hdf5(path)
    header, chunks = (None, _parquet_chunks(path)) if suffix == ".parquet" else _text_chunks(path)
    try:
        return _intern(chunks, header, str(path))
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        message = f"{path}: damaged, or not what its name says ({error}); expected a table of two text columns"
        raise PairListError(message) from error


def _table_chunks(pairs: pl.DataFrame | FrameLike | Iterable[tuple[str, str]]) -> Iterator[pl.DataFrame]:
    if not isinstance(pairs, pl.DataFrame) and hasattr(pairs, "iloc"):
        pairs = from_pandas(cast(FrameLike, pairs))
    if isinstance(pairs, pl.DataFrame):
        return iter([pairs.select(_columns(pairs.columns, "the data frame"))])
    rows = list(pairs)
    if not all(isinstance(row, tuple) and len(row) == 2 for row in rows):
        message = "expected (source, target) tuples of two gene names each"
        raise PairListError(message)
    return iter([pl.DataFrame(rows, schema={"source": pl.String, "target": pl.String}, orient="row")] if rows else [])


def _intern(chunks: Iterator[pl.DataFrame], header: bool | None, where: str) -> PairList:
    """Give every distinct name a number, chunk by chunk."""
    numbers: dict[str, int] = {}
    parts: list[tuple[Codes, Codes]] = []
    extra: list[pl.DataFrame] = []
    for chunk in chunks:
        clean = chunk.select(pl.col(ENDS).cast(pl.String).str.strip_chars().fill_null(""))
        for name in pl.concat([column.unique(maintain_order=True) for column in clean]).to_list():
            numbers.setdefault(name, len(numbers))
        known = pl.DataFrame(
            {"name": list(numbers), "number": np.arange(len(numbers), dtype=np.int32)},
            schema={"name": pl.String, "number": pl.Int32},
        )
        codes = [_codes(column, known) for column in clean]
        parts.append((codes[0], codes[1]))
        extra.append(chunk.drop(ENDS))
    if not parts:
        message = f"{where}: no pairs found; expected one source and one target per line"
        raise PairListError(message)
    source, target = (np.concatenate(column) for column in zip(*parts, strict=True))
    others = pl.concat(extra, rechunk=True)
    if header is not None:
        others = pl.DataFrame([_typed(column) for column in others])
    return PairList(list(numbers), source, target, header, others)


def _typed(column: pl.Series) -> pl.Series:
    """Numbers where the text of a column is nothing else; ``007`` is a name."""
    if column.str.contains(r"^[+-]?0[0-9]").any():
        return column
    for dtype in (pl.Int64, pl.Float64):
        numbers = column.cast(dtype, strict=False)
        if numbers.null_count() == column.null_count() < len(column):
            return numbers
    return column


def _codes(column: pl.Series, known: pl.DataFrame) -> Codes:
    joined = column.to_frame("name").join(known, on="name", how="left", maintain_order="left")
    return joined["number"].to_numpy().astype(np.int32)


def _places(columns: Sequence[str]) -> tuple[int, int] | None:
    """Where the source and the target stand, by the columns' names; None where these do not tell."""
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


def _columns(columns: Sequence[str], where: str) -> list[pl.Expr]:
    """The columns of a table: source, target, then the others."""
    if len(columns) < 2:
        message = f"{where}: found columns {list(columns)}; expected 'source' and 'target', or two columns"
        raise PairListError(message)
    return [pl.col(columns[place]).alias(name) for place, name in _arrange(columns, _places(columns) or (0, 1))]


def _parquet_chunks(path: Path) -> Iterator[pl.DataFrame]:
    lazy = pl.scan_parquet(path)
    lazy = lazy.select(_columns(lazy.collect_schema().names(), str(path)))
    total = int(lazy.select(pl.len()).collect().item())
    for start in range(0, total, CHUNK_ROWS):
        yield lazy.slice(start, CHUNK_ROWS).collect()


def _text_chunks(path: Path) -> tuple[bool, Iterator[pl.DataFrame]]:
    """Whether the first line is a header, and the table in chunks."""
    lines = _line_chunks(path)
    try:
        head = next(lines, [])
        first = head[0][1].decode("utf-8").rstrip("\r\n") if head else ""
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
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
    ways = {sep: [field.strip() for field in next(csv.reader([line], delimiter=sep), [])] for sep in "\t,;"}
    for separator, fields in ways.items():
        if _places(fields) is not None:
            return separator, fields
    separator = "\t" if tabs and "\t" in line else max(ways, key=lambda sep: len(ways[sep]))
    return separator, ways[separator]


def _line_chunks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """The lines that are not blank, with their numbers."""
    number = 0
    with open_text(path) as file:
        while lines := file.readlines(CHUNK_BYTES):
            if number == 0:
                lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
            if rows := [(number + index, line) for index, line in enumerate(lines, 1) if line.strip()]:
                yield rows
            number += len(lines)


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
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        for number, line in rows:
            found = len(next(csv.reader([line.decode(errors="replace")], delimiter=separator)))
            if found > most:
                message = f"{path}, line {number}: found {found} columns; expected {most}, as in the first line"
                raise PairListError(message) from error
        message = f"{path}, from line {rows[0][0]}: cannot be read as a table ({error})"
        raise PairListError(message) from error
    return table.select(pl.col(str(place)).alias(name) for place, name in columns)


def _read_hdf5(path: Path) -> PairList:
    """Pair batches as `write_pair_batches` writes them, back in the user's order."""
    try:
        with h5py.File(path) as file:
            genes = list(file["genes/symbol"].asstr()[:])
            source, target = file["pairs/source"][:], file["pairs/target"][:]
            row = file["pairs/row"][:] if "pairs/row" in file else np.arange(len(source))
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        message = (
            f"{path}: not readable as pair batches ({error}); expected /genes/symbol (text) and, as whole numbers, "
            "/pairs/source and /pairs/target"
        )
        raise PairListError(message) from error
    columns = (source, target, row)
    whole = all(column.ndim == 1 and column.dtype.kind in "iu" and len(column) == len(row) for column in columns)
    if not whole or (
        len(row) and not 0 <= min(source.min(), target.min()) <= max(source.max(), target.max()) < len(genes)
    ):
        message = (
            f"{path}: /pairs/source, /pairs/target and /pairs/row must be equally long columns of whole numbers, and "
            f"the first two point into the {len(genes)} genes"
        )
        raise PairListError(message)
    if not len(row):
        message = f"{path}: no pairs found"
        raise PairListError(message)
    order = np.argsort(row, kind="stable")
    return PairList([name.strip() for name in genes], source[order].astype(np.int32), target[order].astype(np.int32))


def write_pair_batches(pairs: PairList, ids: Codes, rows: Codes, path: Path) -> None:
    """Write pairs as HDF5 pair batches.

    Args:
        pairs: the list.
        ids: int32 ``[G]``, vocabulary row of each of its names.
        rows: int32 ``[n]``, the pairs that are written, sorted by source id.
        path: of the file.

    Layout: ``/genes/symbol``, ``/genes/id``; ``/pairs/source``, ``/pairs/target`` (int32 into genes),
    ``/pairs/row`` (position in the user's list); ``/sources/indptr``, so that a block is a slice.
    """
    packed = {"compression": "lzf", "shuffle": True, "fletcher32": True, "chunks": True}
    with h5py.File(path, "w") as file:
        file.create_dataset("genes/symbol", data=pairs.genes, dtype=h5py.string_dtype())
        file.create_dataset("genes/id", data=ids)
        file.create_dataset("pairs/source", data=pairs.source[rows], **packed)
        file.create_dataset("pairs/target", data=pairs.target[rows], **packed)
        file.create_dataset("pairs/row", data=rows, **packed)
        file.create_dataset("sources/indptr", data=source_bounds(ids[pairs.source[rows]]))


def source_bounds(sorted_sources: Codes) -> NDArray[np.int64]:
    """``[S + 1]`` bounds of the runs of equal values in a sorted array."""
    change = np.flatnonzero(np.diff(sorted_sources)) + 1
    return np.concatenate([[0], change, [len(sorted_sources)]]).astype(np.int64)[
        : 1 if not len(sorted_sources) else None
    ]
