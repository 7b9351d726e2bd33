"""From names to rows of a vocabulary: by identity, whatever either side calls the gene."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from ugrn.artifacts import __file__ as artifacts_file
from ugrn.cli.main import app
from ugrn.runtime import load
from ugrn.runtime.engine.states import read_states
from ugrn.runtime.files.pairs import read_pairs
from ugrn.runtime.genes.lists import read_network_genes
from ugrn.runtime.genes.matches import ABSENT, AMBIGUOUS, DATE, NO_HOMOLOG, UNKNOWN
from ugrn.runtime.genes.names import GeneNames
from ugrn.runtime.genes.pairs import resolve_pairs
from ugrn.runtime.genes.table import gene_table

HUMAN = GeneNames(["POU5F1", "GSTM3", "GSTM1", "TP53", "CRISP3", "KMT2D", "TBXT", "G6PD"], {"OWN1": "TP53"})
SYMBOLS = HUMAN.symbols


def matched(names: GeneNames, written: list[str]) -> list[str]:
    return [names.symbols[row] if row >= 0 else "" for row in names.ids(written)]


def test_any_name_of_a_gene_finds_it() -> None:
    written = ["pou5f1", "OCT4", "ENSG00000204531", "ENSG00000204531.20", "own1", "P53", "GSTM3"]
    assert matched(HUMAN, written) == ["POU5F1"] * 4 + ["TP53"] * 2 + ["GSTM3"]
    assert matched(HUMAN, ["5460", "7157"]) == ["POU5F1", "TP53"]
    assert matched(HUMAN, ["5460", "7157", "GSTM1", "CRISP3", "TBXT"]) == ["", "", "GSTM1", "CRISP3", "TBXT"]
    assert matched(HUMAN, ["OCT4", "OCT4", "", "OCT4"]) == ["POU5F1", "POU5F1", "", "POU5F1"]
    assert matched(HUMAN, []) == []


@pytest.mark.parametrize("written", [str, str.upper])
def test_the_letters_of_a_mouse_symbol_do_not_decide(written: type[str]) -> None:
    """Mouse Gstm3 is like human GSTM1, Crisp3 has no homolog; Trp53 and Zfp423 show whose symbols these are."""
    listed = ["Trp53", "Zfp423", "Pou5f1", "Gstm3", "T", "G6pdx", "Crisp3"]
    names = [written(name) for name in listed]
    found = HUMAN.match(names)
    assert matched(HUMAN, names)[:6] == ["TP53", "", "POU5F1", "" if written is str else "GSTM3", "TBXT", "G6PD"]
    faults = [found.fault(name) for name in names]
    if written is str:
        assert faults == [0, ABSENT, 0, NO_HOMOLOG, 0, 0, NO_HOMOLOG]
        assert HUMAN.suggestions(found)["Gstm3"] == ["GSTM1"]
    assert HUMAN.match(["Gstm3"], mouse=False).ids.tolist() == [SYMBOLS.index("GSTM3")]


def test_vocabularies_of_other_names() -> None:
    ids = GeneNames(["ENSG00000204531", "ENSG00000141510", "ENSG99999999999"])
    assert matched(ids, ["OCT4", "tp53", "ENSG00000141510.4", "ENSG99999999999", "GSTM1"]) == [
        "ENSG00000204531",
        "ENSG00000141510",
        "ENSG00000141510",
        "ENSG99999999999",
        "",
    ]
    old = GeneNames(["PARK2", "SEPT2", "MLL2", "C1orf112"])
    assert matched(old, ["PRKN", "SEPTIN2", "KMT2D", "FIRRM", "MLL2"]) == [*old.symbols, "MLL2"]
    both = GeneNames(["PARK2", "PRKN", "GATA1"])  # the current symbol is the better row
    assert matched(both, ["ENSG00000185345", "PARK2", "PRKN"]) == ["PRKN", "PARK2", "PRKN"]
    mouse = GeneNames(["Pou5f1", "Gstm3", "Gm10778", "Nanog"])
    listed = ["Pou5f1", "Gstm3", "Gm10778", "ENSMUSG00000004038"]
    assert matched(mouse, listed) == ["Pou5f1", "Gstm3", "Gm10778", "Gstm3"]
    assert matched(mouse, ["POU5F1", "GSTM3", "NANOG"]) == ["Pou5f1", "", "Nanog"]  # GSTM3 is another gene than Gstm3


def test_a_previous_symbol_that_is_now_another_genes_symbol(random: np.random.Generator) -> None:
    """Whichever gene bears the name now has it, in the list and in the vocabulary."""
    table = pl.read_parquet(Path(artifacts_file).parent / "genes" / "names.parquet")
    human = table.filter(~pl.col("mouse"))
    current = set(human["symbol"])
    passed_on = human.select("symbol", "previous").explode("previous").filter(pl.col("previous").is_in(current))
    assert len(passed_on) > 50
    for new, name in passed_on.sample(20, seed=int(random.integers(1 << 30))).iter_rows():
        assert matched(GeneNames([new, name]), [name.lower(), new]) == [name, new]
        assert HUMAN.match([name]).genes.get(name, (name,)) == (name,)


def test_what_is_not_matched_has_a_reason() -> None:
    written = ["MLL2", "GATA1", "ENSG00000102145", "1-Mar", "02-SEP", "XX99", "POU5F1", ""]
    found = HUMAN.match(written)
    reasons = {name: found.reason(name) for name in written}
    assert [found.fault(name) for name in written] == [AMBIGUOUS, ABSENT, ABSENT, DATE, DATE, UNKNOWN, 0, UNKNOWN]
    assert reasons["MLL2"] == "ambiguous gene (MLL2: KMT2B or KMT2D)"
    assert reasons["GATA1"] == "gene not in the vocabulary"
    assert reasons["ENSG00000102145"] == "gene not in the vocabulary (ENSG00000102145: GATA1)"
    assert reasons["1-Mar"] == "gene turned into a date by a spreadsheet (1-Mar: MARCHF1 or MTARC1)"
    assert reasons["02-SEP"] == "gene turned into a date by a spreadsheet (02-SEP: SEPTIN2 or SEPTIN6)"
    assert (reasons["XX99"], reasons["POU5F1"]) == ("unknown gene", "")
    assert found.describe() == (
        "1 of 7 names matched as symbols; 6 not matched (1 unknown, 1 ambiguous, 2 turned into a date by a "
        "spreadsheet, 2 not in the vocabulary)"
    )
    assert "MLL2 (ambiguous; did you mean KMT2B or KMT2D?)" in HUMAN.format_unmatched(found)
    assert "and 1 more" in HUMAN.format_unmatched(found)
    assert HUMAN.format_unmatched(HUMAN.match(["POU5F1"])) == ""
    table = HUMAN.table(found)
    assert table["symbol"].to_list() == ["", "", "", "", "", "", "POU5F1", ""]
    assert table["did_you_mean"][0] == "KMT2B KMT2D"
    assert HUMAN.match(["XX99"]).describe() == "none of 1 names matched; 1 not matched (1 unknown)"


def test_the_note_is_for_lists_that_are_not_plain_symbols() -> None:
    assert HUMAN.match(["POU5F1", "gstm1", ""]).note() == ""
    note = HUMAN.match(["ENSG00000204531.1", "ENSG00000141510", "GSTM1", "PARK2"]).note()
    assert note == "2 of 4 names matched as Ensembl ids, 1 as symbols; 1 not matched (1 not in the vocabulary)"
    assert HUMAN.match(["Trp53", "Oct4"]).note() == "1 of 2 names matched as mouse symbols, 1 as mouse aliases"


def test_the_table_is_read_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_table() -> None:
        raise AssertionError

    monkeypatch.setattr("ugrn.runtime.genes.names.gene_table", no_table)
    assert HUMAN.ids([*SYMBOLS, "", "TP53"]).tolist() == [*range(8), -1, 3]
    with pytest.raises(AssertionError):
        HUMAN.ids(["tp53"])


def test_pairs_of_one_gene_by_several_names() -> None:
    rows = [
        ("OCT4", "TP53"),
        ("ENSG00000204531.2", "P53"),  # the same pair
        ("POU5F1", "OCT4"),  # a gene with itself
        ("MLL2", "TP53"),
        ("MLL2", "XX99"),
        ("GATA1", "SOX2"),
        ("TP53", "POU5F1"),
    ]
    resolved = resolve_pairs(read_pairs(rows), HUMAN)
    assert resolved.counts() == {
        "ambiguous source": 1,
        "ambiguous source and unknown target": 1,
        "source and target not in the vocabulary": 1,
        "self-pair": 1,
        "duplicate": 1,
    }
    assert resolved.accepted == 2
    rejects = resolved.rejects(HUMAN)
    assert rejects.columns == ["row", "source", "target", "reason", "did_you_mean"]
    assert rejects["row"].to_list() == [2, 3, 4, 5, 6]
    assert rejects["reason"].to_list() == [
        "duplicate",
        "self-pair",
        "ambiguous source (MLL2: KMT2B or KMT2D)",
        "ambiguous source and unknown target (MLL2: KMT2B or KMT2D)",
        "source and target not in the vocabulary",
    ]
    assert rejects["did_you_mean"].to_list()[2] == "KMT2B KMT2D"


def test_pair_batches_may_repeat_a_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file["genes/symbol"] = ["OCT4", "XX99", "OCT4 ", "TP53", "XX99"]
        file["pairs/source"], file["pairs/target"] = np.array([0, 2, 4, 1, 3]), np.array([3, 3, 1, 0, 2])
    resolved = resolve_pairs(read_pairs(tmp_path / "p.h5"), HUMAN)
    assert resolved.ids.tolist() == [0, -1, 0, 3, -1]
    assert resolved.rejects(HUMAN)["reason"].to_list() == ["duplicate", "unknown source and target", "unknown source"]


def test_lists_of_a_network() -> None:
    genes = read_network_genes(["OCT4", "POU5F1", "SEPT2"], ["Trp53", "Gstm3", "Gata1"], HUMAN)
    assert genes.counts() == {
        "sources": {"ambiguous gene": 1, "duplicate": 1},
        "targets": {"gene without a one-to-one human homolog": 1, "gene not in the vocabulary": 1},
    }
    assert set(genes.notes()) == {"sources", "targets"}
    rejects = genes.rejects(HUMAN)
    assert rejects is not None
    assert rejects["did_you_mean"].to_list() == ["", "SEPTIN2 SEPTIN6", "GSTM1", ""]


def test_the_commands_say_what_the_names_were(tmp_path: Path) -> None:
    runner = CliRunner()
    (tmp_path / "pairs.csv").write_text(
        "ENSG00000204531.20,ENSG00000111704\nENSG00000102145,ENSG00000105610\nMLL2,TP53\n"
    )
    done = runner.invoke(app, ["score", str(tmp_path / "pairs.csv"), "-o", str(tmp_path / "e.csv")])
    assert done.exit_code == 0, done.output
    assert "4 of 6 names matched as Ensembl ids, 1 as symbols; 1 not matched (1 ambiguous)" in done.stderr
    metadata = json.loads((tmp_path / "e.csv.json").read_text())["genes"]
    assert metadata == {
        "distinct": 6,
        "unknown": 1,
        "matched_as": {"Ensembl id": 4, "symbol": 1},
        "not_matched": {"ambiguous": 1},
    }
    (tmp_path / "tfs.txt").write_text("Pou5f1\nTrp53\n")
    asked = ["--sources", str(tmp_path / "tfs.txt"), "--targets", str(tmp_path / "tfs.txt")]
    done = runner.invoke(app, ["network", *asked, "-o", str(tmp_path / "n.csv")])
    assert "sources: 2 of 2 names matched as mouse symbols" in done.stderr
    assert json.loads((tmp_path / "n.csv.json").read_text())["genes"]["targets"]["matched_as"] == {"mouse symbol": 2}
    done = runner.invoke(app, ["genes", str(tmp_path / "tfs.txt")])
    assert done.stderr.strip() == "2 of 2 names matched as mouse symbols"
    assert [row[:3] for row in csv.reader(done.stdout.splitlines(), delimiter="\t")] == [
        ["name", "symbol", "matched_as"],
        ["Pou5f1", "POU5F1", "mouse symbol"],
        ["Trp53", "TP53", "mouse symbol"],
    ]


def test_cells_with_ids_have_the_state_of_cells_with_symbols(tmp_path: Path) -> None:
    """The genes of a state are named as in the vocabulary, so that a part of them is looked up like the whole."""
    artifact = load().artifact
    (tmp_path / "s.csv").write_text("gene,value\nPOU5F1,1.5\nTP53,-1\nNANOG,0.5\n")
    (tmp_path / "e.csv").write_text("gene,value\nENSG00000204531.20,1.5\nENSMUSG00000059552,-1\nNanog,0.5\n")
    (by_symbol,), (by_id,) = (read_states(tmp_path / name, artifact) for name in ("s.csv", "e.csv"))
    assert by_id.genes == by_symbol.genes == ["POU5F1", "TP53", "NANOG"]
    assert (by_id.values == by_symbol.values).all()


def test_lists_of_real_genes_are_seen_for_what_they_are(random: np.random.Generator) -> None:
    """Random lists of symbols: each is its own gene, whichever way the other species writes it."""
    table = gene_table()
    human, mouse = table.symbols[: table.humans], table.symbols[table.humans :]
    for size in (30, 300, 3000):
        assert not table.identify(random.choice(human, size, replace=False).tolist()).mouse
        assert table.identify(random.choice(mouse, size, replace=False).tolist()).mouse
