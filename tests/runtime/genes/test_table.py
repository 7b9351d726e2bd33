"""The shipped gene table: all of its names against plain dictionaries, and names whose genes are known."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np
import polars as pl
import pytest

from ugrn.runtime.genes.table import KINDS, GeneTable, Identified, gene_table

HUMAN = (("symbol", False), ("previous aliases", False), ("synonyms", False), ("symbol", True))
MOUSE = (
    ("symbol", True),
    ("symbol", False),
    ("previous aliases", True),  # a previous symbol of a mouse gene is the one that NCBI gives it
    ("previous aliases", False),
    ("synonyms", True),
    ("synonyms", False),
)
Readings = dict[tuple[str, bool], dict[str, set[int]]]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return pl.read_parquet((files("ugrn.artifacts") / "genes" / "names.parquet").read_bytes()).to_dicts()


@pytest.fixture(scope="module")
def readings(rows: list[dict[str, object]]) -> Readings:
    """Per group of names and species: name in upper case -> the genes it is of, human ones where there are any."""
    out: Readings = {group: {} for group in {*HUMAN, *MOUSE}}
    for row, gene in enumerate(rows):
        own = row if gene["homolog"] is None else gene["homolog"]
        for (columns, mouse), names in out.items():
            if gene["mouse"] == mouse:
                for column in columns.split():
                    for name in [gene["symbol"]] if column == "symbol" else gene[column]:
                        names.setdefault(str(name).upper(), set()).add(own)
    return out


def slowly(name: str, readings: Readings, order: tuple[tuple[str, bool], ...], symbols: list[str]) -> set[int]:
    """The genes a name may be of: those of the first group of names that has it, as written before other cases."""
    for columns, mouse in order:
        found = readings[columns, mouse].get(name.upper(), set())
        if columns == "symbol" and len(found) > 1:
            exact = {gene for gene in found if symbols[gene] == name}
            found = exact or found
        if found:
            return found
    return set()


def genes_of(found: Identified, place: int) -> set[int]:
    gene = int(found.genes[place])
    return {gene} if gene >= 0 else set(found.candidates.get(place, []))


def in_any_case(name: str, rng: np.random.Generator) -> str:
    return (name, name.upper(), name.lower(), name.capitalize())[rng.integers(4)]


@pytest.mark.parametrize("mouse", [False, True])
def test_names_against_plain_dictionaries(
    rows: list[dict[str, object]], readings: Readings, mouse: bool, random: np.random.Generator
) -> None:
    symbols = [str(gene["symbol"]) for gene in rows]
    order = MOUSE if mouse else HUMAN
    known = sorted({name for group in order for name in readings[group]})
    names = [in_any_case(name, random) for name in known]
    names = list(dict.fromkeys([*names, *random.choice(symbols, 3000).tolist(), "NO-SUCH-GENE", ""]))
    names = [name for name in names if not re.match(r"ENS(MUS)?GR?\d|\d+$", name.upper())]  # ids: see below
    clashing = {name for name in names if len(readings["symbol", True].get(name.upper(), ())) > 1}
    found = gene_table().identify(names, mouse=mouse)
    for place, name in enumerate(names):
        if name not in clashing:  # two mouse symbols in different cases: see below
            assert genes_of(found, place) == slowly(name, readings, order, symbols), name
        assert (found.kinds[place] > 0) == (found.genes[place] >= 0)


def test_ids_against_plain_dictionaries(rows: list[dict[str, object]], random: np.random.Generator) -> None:
    """With and without versions, and shares of another kind of names that keep or lose the Entrez ids."""
    ensembl: dict[str, set[int]] = {}
    entrez: dict[str, set[int]] = {}
    for row, gene in enumerate(rows):
        own = row if gene["homolog"] is None else gene["homolog"]
        prefix = "ENSMUSG" if gene["mouse"] else "ENSG"
        for number in gene["ensembl"]:
            ensembl.setdefault(f"{prefix}{number:011d}", set()).add(own)
        for number in gene["entrez"]:
            entrez.setdefault(str(number), set()).add(own)
    drawn = random.choice(sorted(ensembl), 3000, replace=False).tolist()
    tails = random.choice(["", ".1", ".20", "_PAR_Y", ".7_PAR_Y"], len(drawn))
    found = gene_table().identify([name + tail for name, tail in zip(drawn, tails, strict=True)])
    for place, name in enumerate(drawn):
        assert genes_of(found, place) == ensembl[name], name
        assert found.kinds[place] == 0 or KINDS[found.kinds[place]] == (
            "mouse Ensembl id" if name.startswith("ENSMUS") else "Ensembl id"
        )
    numbers = random.choice(sorted(entrez), 2000, replace=False).tolist()
    found = gene_table().identify(numbers)
    assert [genes_of(found, place) for place in range(2000)] == [entrez[name] for name in numbers]
    mixed = gene_table().identify([*numbers, *drawn])
    ids = [KINDS.index(f"{species}Entrez id") for species in ("", "mouse ")]
    assert not np.isin(mixed.kinds[:2000], ids).any()  # too few of the names are numbers for these to be ids


def test_names_whose_genes_are_known() -> None:
    table = gene_table()
    human = ["OCT4", "p53", "PARK2", "HER2", "ENSGR0000182378.3", "C1ORF112", "ENSG0204531", "PD-L1"]
    assert said(table, human) == ["POU5F1", "TP53", "PRKN", "ERBB2", "PLCXD1", "FIRRM", "", "CD274"]
    found = table.identify(["MLL2", "SEPT2"])
    assert [[table.symbols[gene] for gene in genes] for genes in found.candidates.values()] == [
        ["KMT2B", "KMT2D"],
        ["SEPTIN2", "SEPTIN6"],
    ]
    old = table.identify(["MLL2", "SEPT2", "GATA1"], vocabulary=True)  # in a model's vocabulary both were official
    assert [table.symbols[gene] for gene in old.genes] == ["KMT2D", "SEPTIN2", "GATA1"]


@pytest.mark.parametrize("mouse", [False, True])
def test_cox2_is_of_two_genes(mouse: bool) -> None:
    """HGNC gives it to both genes, one of them as a previous symbol; NCBI's mouse symbol is MGI's synonym of Ptgs2."""
    table = gene_table()
    found = table.identify(["Cox2", "COX2", "mt-Co2", "Ptgs2"], mouse=mouse)
    both = [table.symbols.index(symbol) for symbol in ("MT-CO2", "PTGS2")]
    assert found.candidates == {0: both, 1: both}
    assert found.genes.tolist() == [-1, -1, *both]


def test_mouse_symbols_go_through_their_homologs() -> None:
    table = gene_table()
    names = ["Trp53", "Pou5f1", "T", "Zfp423", "Sept2", "Gstm3", "Crisp3"]
    found = table.identify(names)
    assert found.mouse
    assert said(table, names) == ["TP53", "POU5F1", "TBXT", "ZNF423", "SEPTIN2", "Gstm3", "Crisp3"]
    assert said(table, ["Fh1", "Gpi1", "Tac2", "mt-Co1"]) == ["FH", "GPI", "TAC3", "MT-CO1"]
    assert [table.symbols[gene] for gene in table.near(int(found.genes[5]))] == ["GSTM1"]
    assert table.symbols[table.identify(["Gstm3"], mouse=False).genes[0]] == "GSTM3"
    assert not table.identify(["NANOG", "GATA1"]).mouse
    assert table.identify(["Nanog", "Gata1"]).mouse
    assert not table.identify([]).mouse


def test_every_symbol_as_written_is_its_own_gene(rows: list[dict[str, object]]) -> None:
    """Human symbols that are also previous symbols or aliases of other genes among them."""
    table = gene_table()
    found = table.identify(table.symbols[: table.humans])
    assert not found.mouse
    assert (found.genes == np.arange(table.humans)).all()
    mouse = list(dict.fromkeys(table.symbols[table.humans :]))
    found = table.identify(mouse)
    assert found.mouse
    homologs = {str(gene["symbol"]): gene["homolog"] for gene in rows if gene["mouse"]}
    repeated = len(rows) - table.humans - len(mouse)
    assert len(found.candidates) <= 2 * repeated
    for place, name in enumerate(mouse):
        if place not in found.candidates and homologs[name] is not None:
            assert found.genes[place] == homologs[name], name


def said(table: GeneTable, names: list[str]) -> list[str]:
    return [table.symbols[gene] if gene >= 0 else "" for gene in table.identify(names).genes.tolist()]
