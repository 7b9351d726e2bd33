"""Reading pair lists: CSV and TSV (also ``.gz``), Parquet, HDF5 pair batches, data frames and tuples.

Text and Parquet are read chunk by chunk, so memory grows by a few bytes per pair.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Sequence
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

    Raises:
        PairListError: nothing can be read from it.
    """
    header = None
    if isinstance(pairs, str | Path):
        path = Path(pairs)
        if not path.is_file():
            message = f"{path}: no such file; expected a pair list (.csv, .tsv, .txt, also .gz; .parquet; .h5)"
            raise PairListError(message)
        if path.suffix == ".h5":
            return _read_hdf5(path)
        if path.suffix == ".parquet":
            chunks = _parquet_chunks(path)
        else:
            header, chunks = _text_chunks(path)
    elif isinstance(pairs, pl.DataFrame):
        chunks = iter([pairs.select(_columns(pairs.columns, "the data frame"))])
    else:
        rows = list(pairs)
        if not all(isinstance(row, tuple) and len(row) == 2 for row in rows):
            message = "expected (source, target) tuples of two gene names each"
            raise PairListError(message)
        chunks = iter([pl.DataFrame(rows, schema={"source": pl.String, "target": pl.String}, orient="row")])
    return _intern(chunks, header, str(pairs) if isinstance(pairs, str | Path) else "the pair list")


def _intern(chunks: Iterator[pl.DataFrame], header: bool | None, where: str) -> PairList:
    """Give every distinct name a number, chunk by chunk."""
    numbers: dict[str, int] = {}
    parts: list[tuple[Codes, Codes]] = []
    for chunk in chunks:
        clean = chunk.select(pl.all().cast(pl.String).str.strip_chars().fill_null(""))
        for name in pl.concat([column.unique(maintain_order=True) for column in clean]).to_list():
            numbers.setdefault(name, len(numbers))
        known = pl.DataFrame({"name": list(numbers), "number": np.arange(len(numbers), dtype=np.int32)})
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
    try:
        lazy = pl.scan_parquet(path)
        lazy = lazy.select(_columns(lazy.collect_schema().names(), str(path)))
        total = int(lazy.select(pl.len()).collect().item())
        for start in range(0, total, CHUNK_ROWS):
            yield lazy.slice(start, CHUNK_ROWS).collect()
    except pl.exceptions.ComputeError as error:
        message = f"{path}: not a readable Parquet file ({error})"
        raise PairListError(message) from error


def _text_chunks(path: Path) -> tuple[bool, Iterator[pl.DataFrame]]:
    """Whether the first line is a header, and the table in chunks."""
    with _open(path) as file:
        try:
            first = file.readline().decode("utf-8-sig").rstrip("\r\n")
        except (UnicodeDecodeError, OSError, EOFError) as error:
            message = f"{path}: not a readable text file ({error}); expected .csv or .tsv in UTF-8, or .gz of one"
            raise PairListError(message) from error
    separator = max("\t,;", key=first.count)
    fields = [field.strip().strip('"') for field in first.split(separator)]
    if len(fields) < 2:
        message = f"{path}: first line {first[:60]!r} has one column; expected source and target, by comma or tab"
        raise PairListError(message)
    folded = [field.lower() for field in fields]
    named = "source" in folded and "target" in folded
    header = named or (folded[0] in SOURCE_NAMES and folded[1] in TARGET_NAMES)
    wanted = _columns(fields, str(path)) if named else fields[:2]
    places = [fields.index(name) for name in wanted] if named else [0, 1]
    return header, _read_text(path, separator, places, header)


def _read_text(path: Path, separator: str, places: list[int], header: bool) -> Iterator[pl.DataFrame]:
    start = 1
    with _open(path) as file:
        if header:
            file.readline()
            start = 2
        while lines := file.readlines(CHUNK_BYTES):
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
            yield _parse(lines, separator, places, path, start)
            start += len(lines)


def _parse(lines: list[bytes], separator: str, places: list[int], path: Path, start: int) -> pl.DataFrame:
    short = next((row for row, line in enumerate(lines) if line.count(separator.encode()) < max(places)), None)
    if short is not None and lines[short].strip():
        message = (
            f"{path}, line {start + short}: found {lines[short][:60].decode(errors='replace').strip()!r}; "
            f"expected at least {max(places) + 1} columns separated by {separator!r}"
        )
        raise PairListError(message)
    try:
        table = pl.read_csv(
            io.BytesIO(b"".join(lines)),
            separator=separator,
            has_header=False,
            infer_schema_length=0,
            truncate_ragged_lines=True,
            columns=sorted(places),
        )
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        message = f"{path}, after line {start}: cannot be read as a table ({error})"
        raise PairListError(message) from error
    ordered = table.columns if places[0] < places[1] else table.columns[::-1]
    return table.select(pl.col(ordered[0]).alias("source"), pl.col(ordered[1]).alias("target"))


def _open(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


def _read_hdf5(path: Path) -> PairList:
    """Pair batches as `write_pair_batches` writes them, back in the user's order."""
    try:
        with h5py.File(path) as file:
            genes = file["genes/symbol"].asstr()[:].tolist()
            source, target = file["pairs/source"][:], file["pairs/target"][:]
            row = file["pairs/row"][:] if "pairs/row" in file else np.arange(len(source))
    except (OSError, KeyError) as error:
        message = (
            f"{path}: not readable as pair batches ({error}); expected /genes/symbol, /pairs/source, /pairs/target"
        )
        raise PairListError(message) from error
    order = np.argsort(row, kind="stable")
    pairs = PairList(genes, source[order].astype(np.int32), target[order].astype(np.int32))
    codes = np.concatenate([pairs.source, pairs.target])
    if len(source) != len(target) or (len(codes) and not 0 <= codes.min() <= codes.max() < len(genes)):
        message = f"{path}: /pairs/source and /pairs/target must be equally long and point into the {len(genes)} genes"
        raise PairListError(message)
    return pairs
