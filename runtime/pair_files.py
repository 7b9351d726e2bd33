"""Reading pair lists: CSV and TSV (also ``.gz``), Parquet, HDF5 pair batches, data frames and tuples.

Text and Parquet are read chunk by chunk: a pair keeps two int32, and each distinct name is held once.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import polars as pl

from .errors import PairListError
from .pairs import Codes, PairList, PairsLike

CHUNK_BYTES = 4 << 20
CHUNK_ROWS = 1 << 17
SOURCE_NAMES = ("source", "tf", "regulator", "from", "gene1")
TARGET_NAMES = ("target", "gene", "to", "gene2")


def read_pairs(pairs: PairsLike) -> PairList:
    """Read a pair list.

    Args:
        pairs: a file (``.csv``, ``.tsv``, ``.txt``, each also ``.gz``; ``.parquet``; ``.h5``), a data frame,
            or (source, target) tuples. Tables need columns ``source`` and ``target``; else the first two count.
            Blank lines of text files are passed over.

    Raises:
        PairListError: nothing can be read from it.
    """
    if not isinstance(pairs, str | Path):
        return _intern(_table_chunks(pairs), None, "the pair list")
    path = Path(pairs)
    if not path.is_file():
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


def _table_chunks(pairs: pl.DataFrame | Iterable[tuple[str, str]]) -> Iterator[pl.DataFrame]:
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
    for chunk in chunks:
        clean = chunk.select(pl.all().cast(pl.String).str.strip_chars().fill_null(""))
        for name in pl.concat([column.unique(maintain_order=True) for column in clean]).to_list():
            numbers.setdefault(name, len(numbers))
        known = pl.DataFrame(
            {"name": list(numbers), "number": np.arange(len(numbers), dtype=np.int32)},
            schema={"name": pl.String, "number": pl.Int32},
        )
        codes = [_codes(column, known) for column in clean]
        parts.append((codes[0], codes[1]))
    if not parts:
        message = f"{where}: no pairs found; expected one source and one target per line"
        raise PairListError(message)
    source, target = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PairList(list(numbers), source, target, header)


def _codes(column: pl.Series, known: pl.DataFrame) -> Codes:
    joined = column.to_frame("name").join(known, on="name", how="left", maintain_order="left")
    return joined["number"].to_numpy().astype(np.int32)


def _columns(columns: Sequence[str], where: str) -> list[str]:
    """The source and the target column of a table."""
    folded = [column.strip().lower() for column in columns]
    if "source" in folded and "target" in folded:
        return [columns[folded.index("source")], columns[folded.index("target")]]
    if len(columns) < 2:
        message = f"{where}: found columns {list(columns)}; expected 'source' and 'target', or two columns"
        raise PairListError(message)
    return list(columns[:2])


def _parquet_chunks(path: Path) -> Iterator[pl.DataFrame]:
    lazy = pl.scan_parquet(path)
    lazy = lazy.select(_columns(lazy.collect_schema().names(), str(path)))
    total = int(lazy.select(pl.len()).collect().item())
    for start in range(0, total, CHUNK_ROWS):
        yield lazy.slice(start, CHUNK_ROWS).collect()


def _text_chunks(path: Path) -> tuple[bool, Iterator[pl.DataFrame]]:
    """Whether the first line is a header, and the table in chunks."""
    try:
        with open_text(path) as file:
            first = next((line for line in file if line.strip()), b"").decode("utf-8-sig").rstrip("\r\n")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        message = f"{path}: not a readable text file ({error}); expected .csv or .tsv in UTF-8, or .gz of one"
        raise PairListError(message) from error
    separator, fields = _split_first(first, ".tsv" in [suffix.lower() for suffix in path.suffixes])
    if len(fields) < 2:
        message = f"{path}: first line {first[:60]!r} has one column; expected source and target, by comma or tab"
        raise PairListError(message)
    folded = [field.lower() for field in fields]
    if {"source", "target"} <= set(folded):
        return True, _read_text(path, separator, [folded.index("source"), folded.index("target")], True)
    header = folded[0] in SOURCE_NAMES and folded[1] in TARGET_NAMES
    return header, _read_text(path, separator, [0, 1], header)


def _split_first(line: str, tabs: bool) -> tuple[str, list[str]]:
    """Separator and fields of a first line: by column names, else by file name, else by count."""
    ways = {sep: [field.strip() for field in next(csv.reader([line], delimiter=sep), [])] for sep in "\t,;"}
    for separator, fields in ways.items():
        if {"source", "target"} <= {field.lower() for field in fields}:
            return separator, fields
    separator = "\t" if tabs and "\t" in line else max(ways, key=lambda sep: len(ways[sep]))
    return separator, ways[separator]


def _read_text(path: Path, separator: str, places: list[int], header: bool) -> Iterator[pl.DataFrame]:
    number = 0
    with open_text(path) as file:
        while lines := file.readlines(CHUNK_BYTES):
            rows = [(number + index, line) for index, line in enumerate(lines, 1) if line.strip()]
            if number == 0 and rows:
                rows[0] = rows[0][0], rows[0][1].removeprefix(b"\xef\xbb\xbf")
            number += len(lines)
            if header and rows:
                rows, header = rows[1:], False
            if rows:
                yield _parse(rows, separator, places, path)


def _parse(rows: list[tuple[int, bytes]], separator: str, places: list[int], path: Path) -> pl.DataFrame:
    for number, line in rows:
        if line.count(separator.encode()) < max(places):
            message = (
                f"{path}, line {number}: found {line[:60].decode(errors='replace').strip()!r}; "
                f"expected at least {max(places) + 1} columns separated by {separator!r}"
            )
            raise PairListError(message)
    try:
        table = pl.read_csv(
            io.BytesIO(b"".join(line for _, line in rows)),
            separator=separator,
            has_header=False,
            infer_schema_length=0,
            truncate_ragged_lines=True,
            columns=sorted(places),
        )
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        message = f"{path}, from line {rows[0][0]}: cannot be read as a table ({error})"
        raise PairListError(message) from error
    ordered = table.columns if places[0] < places[1] else table.columns[::-1]
    return table.select(pl.col(ordered[0]).alias("source"), pl.col(ordered[1]).alias("target"))


def open_text(path: Path) -> io.BufferedIOBase:
    """A text file's bytes, unpacked where its name ends in ``.gz``."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


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
