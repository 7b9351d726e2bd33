"""Networks as graph files: GraphML (http://graphml.graphdrawing.org) and SIF, for Cytoscape, networkx and others."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import polars as pl

from .tables import EdgeTable, frames

ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
NOT_IN_XML = r"[\x00-\x08\x0B\x0C\x0E-\x1F\uFFFE\uFFFF]"
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
"""
INTERACTION = "regulates"


def write_graphml(table: EdgeTable, file: BinaryIO) -> None:
    """Write a directed graph; every column beside source and target is a property of the edges.

    Characters that XML cannot hold are replaced by U+FFFD; missing values are left out.
    """
    file.write(HEAD.encode())
    columns = table.schema
    names = pl.Series(list(columns), dtype=pl.String).to_frame("name").select(_escaped(pl.col("name")))["name"]
    for index, (name, dtype) in enumerate(zip(names, columns.values(), strict=True)):
        file.write(f'  <key id="d{index}" for="edge" attr.name="{name}" attr.type="{_type(dtype)}"/>\n'.encode())
    file.write(b'  <graph edgedefault="directed">\n')
    genes = pl.DataFrame({"name": pl.Series(table.genes, dtype=pl.String)})
    _write_lines(genes.filter(_used(table)), pl.format('    <node id="{}"/>', _escaped(pl.col("name"))), file)
    ends = (_escaped(pl.col(name)) for name in ("source", "target"))
    properties = [
        pl.format(f'<data key="d{index}">{{}}</data>', _escaped(pl.col(name))).fill_null("")
        for index, name in enumerate(columns)
    ]
    edge = pl.concat_str(pl.format('    <edge source="{}" target="{}">', *ends), *properties, pl.lit("</edge>"))
    for part in frames(table):
        _write_lines(part, edge, file)
    file.write(b"  </graph>\n</graphml>\n")


def write_sif(table: EdgeTable, file: BinaryIO) -> None:
    """Write one line for every edge: source, ``regulates``, target, separated by tabs."""
    line = pl.concat_str(pl.col("source"), pl.lit(INTERACTION), pl.col("target"), separator="\t")
    for part in frames(table):
        _write_lines(part, line, file)


def _write_lines(table: pl.DataFrame, line: pl.Expr, file: BinaryIO) -> None:
    table.select(line.alias("line")).write_csv(file, include_header=False, quote_style="never")


def _used(table: EdgeTable) -> pl.Series:
    """True for genes that have an edge, bool ``[G]``."""
    used = np.zeros(len(table.genes), bool)
    for source, target, _ in table.batches():
        used[source] = used[target] = True
    return pl.Series(used)


def _escaped(column: pl.Expr) -> pl.Expr:
    text = column.cast(pl.String).str.replace_many(ESCAPES)
    return text.str.replace_all(NOT_IN_XML, "\N{REPLACEMENT CHARACTER}")


def _type(dtype: pl.DataType) -> str:
    """The GraphML type of a column."""
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "long"
    return "double" if dtype.is_numeric() else "string"
