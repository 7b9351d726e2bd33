"""Networks as other tools write them, and sets of genes (GMT).

Adjacencies of GRNBoost2 and pySCENIC, and the eRegulon tables of SCENIC+ (Bravo Gonzalez-Blas et al. 2023, Nature
Methods 20, 1355: TF, Gene, and one row per region), are pair lists, whose columns are found by the names these tools
give them. Regulons are also read as GMT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ..errors import InputError
from .pairs import PairList, read_pairs
from .tables import ENDS
from .text import UNREADABLE_TEXT, open_text

REGION = "Region"
"""The column of eRegulons of which an edge has several."""
SET_NAMES = ("eRegulon_name", "Gene_signature_name", "Region_signature_name", "Consensus_name")
SIGN = r"[_(]([+-])"
"""The sign of a TF's effect in ``GATA1_direct_+/+_(12g)``, ``GATA1_+_+_(9r)`` and ``GATA1(+)``."""
AFTER_TF = re.compile(r"[_(\s]")


@dataclass(frozen=True)
class GeneSet:
    """A named set of genes, as its file lists them."""

    name: str
    genes: list[str]


def read_gmt(path: Path) -> list[GeneSet]:
    """The sets of a GMT file: one per line, tabs between its name, a description and its genes.

    Raises:
        InputError: it cannot be read, is empty, or is not GMT.
    """
    try:
        with open_text(path) as file:
            text = file.read().decode("utf-8-sig")
    except UNREADABLE_TEXT as error:
        message = f"{path}: cannot be read ({error}); expected gene sets or regulons as GMT"
        raise InputError(message) from error
    lines = [(number, line.split("\t")) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    wrong = next((f"line {number} has {len(fields)} fields" for number, fields in lines if len(fields) < 3), "")
    if wrong or not lines:
        message = (
            f"{path}: {wrong or 'it is empty'}; expected GMT: a name, a description and genes on each line, tabs "
            "between them"
        )
        raise InputError(message)
    return [GeneSet(fields[0], [gene for gene in fields[2:] if gene]) for _, fields in lines]


def read_network_pairs(path: Path) -> PairList:
    """The edges of a network: regulons as ``.gmt``, each named by its source, or all that `read_pairs` reads.

    Raises:
        InputError: it cannot be read.
    """
    if path.suffix.lower() != ".gmt":
        return read_pairs(path)
    rows = [
        (AFTER_TF.split(each.name, maxsplit=1)[0], gene, each.name) for each in read_gmt(path) for gene in each.genes
    ]
    return read_pairs(pl.DataFrame(rows, schema=[*ENDS, SET_NAMES[0]], orient="row"))


def regulon_signs(pairs: PairList) -> pl.Series | None:
    """Signs of N edges by their regulons' names, null where there is none; None where no column names regulons."""
    column = next((name for name in SET_NAMES if name in pairs.extra.columns), None)
    return None if column is None else pairs.extra[column].cast(pl.String).str.extract(SIGN)
