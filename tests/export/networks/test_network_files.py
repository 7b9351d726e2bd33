"""Networks from files: every kind of file gives the edges that are in it, and what is left out is counted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from ugrn.export.networks.cell_networks import write_cell_networks
from ugrn.export.networks.network import Network, Regulons
from ugrn.export.networks.network_files import STRENGTHS, NetworkFile, read_network
from ugrn.runtime import NetworkSettings, load
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames

SYMBOLS = [f"GENE{row}" for row in range(60)]
NAMES = GeneNames(SYMBOLS, {"OLDNAME": "GENE5"})
EDGES = [("GENE9", "GENE1"), ("GENE2", "GENE5"), ("GENE2", "GENE3"), ("GENE9", "GENE0")]
"""Not in the order of the keys."""


def named(found: NetworkFile) -> list[tuple[str, str]]:
    network = found.network
    assert np.array_equal(network.keys(), np.unique(network.keys()))
    assert network.genes == len(NAMES)
    return [(SYMBOLS[s], SYMBOLS[t]) for s, t in zip(network.sources, network.targets, strict=True)]


def rows(*edges: tuple[str, ...]) -> str:
    return "".join(",".join(edge) + "\n" for edge in edges)


def test_a_pair_list_with_everything_that_may_be_wrong(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    wrong = [("GENE2", "OLDNAME"), ("GENE4", "GENE4"), ("NOSUCH", "GENE1"), ("GENE1", "NOSUCH"), ("", "GENE1")]
    path.write_text("source,target\n" + rows(*EDGES, *wrong))
    found = read_network(path, NAMES)
    assert named(found) == sorted(EDGES, key=lambda edge: (SYMBOLS.index(edge[0]), SYMBOLS.index(edge[1])))
    assert found.weights is None
    left_out = {"empty name": 1, "unknown source": 1, "unknown target": 1, "self-pair": 1, "duplicate": 1}
    assert found.metadata == {
        "file": "net.csv",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "edges": 4,
        "genes": 6,
        "read": 9,
        "left_out": left_out,
    }
    for words in (
        "net.csv: 4 edges between 6 genes",
        "5 of 9 rows left out",
        "1 duplicate",
        "1 not matched (1 unknown)",
    ):
        assert words in found.note
    assert found.rejects(NAMES)["name"].to_list() == ["NOSUCH"]


def test_weights_go_with_their_edges(tmp_path: Path) -> None:
    path = tmp_path / "net.tsv"
    path.write_text("TF\ttarget\timportance\n" + "".join(f"{a}\t{b}\t{n}\n" for n, (a, b) in enumerate(EDGES)))
    assert read_network(path, NAMES).weights is None
    found = read_network(path, NAMES, STRENGTHS)
    assert found.weights is not None
    assert dict(zip(named(found), found.weights.tolist(), strict=True)) == {edge: n for n, edge in enumerate(EDGES)}
    path.write_text(
        "source\ttarget\tweight\n" + "".join(f"{a}\t{b}\t{'' if n else 1}\n" for n, (a, b) in enumerate(EDGES))
    )
    assert read_network(path, NAMES, STRENGTHS).weights is None  # not a number for every edge


EREGULONS = {
    "eRegulon_name": ["GENE9_direct_+/+"] * 3 + ["GENE2_extended_-/+"] * 2,
    "Gene_signature_name": ["GENE9_direct_+/+_(2g)"] * 3 + ["GENE2_extended_-/+_(1g)"] * 2,
    "Region_signature_name": ["GENE9_+_+_(3r)"] * 3 + ["GENE2_extended_-_+_(2r)"] * 2,
}


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("column", sorted(EREGULONS))
def test_eregulons_of_scenic_plus(tmp_path: Path, suffix: str, column: str) -> None:
    regions = [f"chr1:{start}-{start + 500}" for start in range(5)]
    genes = ["GENE1", "GENE1", "GENE0", "GENE3", "GENE3"]
    table = pl.DataFrame({"Region": regions, "Gene": genes, "rho_R2G": [0.1] * 5, "TF": ["GENE9"] * 3 + ["GENE2"] * 2})
    table = table.with_columns(pl.Series(column, EREGULONS[column]))
    path = tmp_path / f"eRegulons{suffix}"
    if suffix == ".parquet":
        table.write_parquet(path)
    elif suffix == ".csv.gz":
        table.write_csv(path, compression="gzip")
    else:
        table.write_csv(path, separator="\t" if suffix == ".tsv" else ",")
    found = read_network(path, NAMES)
    assert named(found) == [("GENE2", "GENE3"), ("GENE9", "GENE0"), ("GENE9", "GENE1")]
    assert found.metadata["signs"] == {"activating": 2, "repressing": 1}
    assert found.metadata["left_out"] == {"further region of an edge": 2}
    assert "(2 activating, 1 repressing)" in found.note


def test_an_edge_that_activates_and_represses_is_said_to_do_both(tmp_path: Path) -> None:
    names = ["GENE9_direct_+/+", "GENE9_direct_-/+", "GENE9_direct_-/+"]
    table = pl.DataFrame({"Region": ["a", "b", "c"], "TF": ["GENE9"] * 3, "eRegulon_name": names})
    table.with_columns(Gene=pl.Series(["GENE1", "GENE1", "GENE2"])).write_csv(tmp_path / "eRegulons.csv")
    found = read_network(tmp_path / "eRegulons.csv", NAMES)
    assert found.metadata["signs"] == {"activating": 0, "repressing": 1, "of both kinds": 1}


def test_regulons_as_gmt(tmp_path: Path) -> None:
    path = tmp_path / "regulons.gmt"
    path.write_text("GENE9(+)\tmotif\tGENE1\tGENE0\nGENE2_(1g)\t\tGENE3\n\nGENE4_extended_-/+_(1g)\tx\tGENE5\tGENE6\n")
    found = read_network(path, NAMES)
    expected = [("GENE2", "GENE3"), ("GENE4", "GENE5"), ("GENE4", "GENE6"), ("GENE9", "GENE0"), ("GENE9", "GENE1")]
    assert named(found) == expected
    assert found.metadata["signs"] == {"activating": 2, "repressing": 2}
    path.write_text("")
    with pytest.raises(InputError, match="it is empty"):
        read_network(path, NAMES)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".h5"])
def test_results_of_ugrn(artifact: Path, tmp_path: Path, suffix: str) -> None:
    scorer = load(artifact)
    path = tmp_path / f"net{suffix}"
    scorer.network_file(["GENE9", "GENE2"], None, path, NetworkSettings(top_k=4))
    table = scorer.network(["GENE9", "GENE2"], top_k=4)
    found = read_network(path, scorer.artifact.names, STRENGTHS)
    assert found.weights is not None
    assert sorted(named(found)) == sorted(table.select("source", "target").iter_rows())
    expected = {(s, t): p for s, t, p in table.iter_rows()}
    assert dict(zip(named(found), found.weights.tolist(), strict=True)) == pytest.approx(expected, abs=1e-6)
    assert read_network(path, scorer.artifact.names).weights is None


def test_damaged_results(artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    load(artifact).network_file(["GENE9"], None, path, NetworkSettings(top_k=4))
    with h5py.File(path, "r+") as file:
        file["edges/target"][0] = 999
    with pytest.raises(InputError, match="edges point past its 60 genes"):
        read_network(path, NAMES)
    with h5py.File(path, "r+") as file:
        del file["edges/source"]
    with pytest.raises(InputError, match="not readable as a result"):
        read_network(path, NAMES)


def test_cell_networks_are_the_edges_of_any_cell(random: np.random.Generator, tmp_path: Path) -> None:
    network = Network.of([9, 9, 2, 2, 7], [1, 0, 5, 3, 8], 60)
    regulons = Regulons.of(network, None, SYMBOLS)  # of GENE2, GENE7, GENE9
    active = random.random((40, 3)) < [0.3, 0.0, 0.8]
    active[0] = True, False, True
    threshold = np.full(3, 0.5, np.float32)
    metadata = {"network": {}}
    cells = [f"c{row}" for row in range(40)]
    write_cell_networks(tmp_path / "net.h5", regulons, cells, active.astype(np.float32), threshold, metadata)
    found = read_network(tmp_path / "net.h5", NAMES)
    shares = active.mean(0)
    expected = {("GENE2", "GENE3"): shares[0], ("GENE2", "GENE5"): shares[0]}
    expected |= {("GENE9", "GENE0"): shares[2], ("GENE9", "GENE1"): shares[2]}
    assert found.weights is not None
    assert dict(zip(named(found), found.weights.tolist(), strict=True)) == pytest.approx(expected)
    assert found.metadata["left_out"] == {"of regulons that are active in no cell": 1}
    assert found.metadata["read"] == 5


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; expected a network"):
        read_network(tmp_path / "absent.csv", NAMES)
    path = tmp_path / "net.csv"
    path.write_text("source,target\nNOSUCH,GENE1\nGENE1,GENE1\n")
    with pytest.raises(InputError, match="no edge is left of 2 .*1 self-pair.*not matched: NOSUCH"):
        read_network(path, NAMES)
    path.write_text("alone\n")
    with pytest.raises(InputError, match="one column"):
        read_network(path, NAMES)
    (tmp_path / "net.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="not readable as pair batches"):
        read_network(tmp_path / "net.h5", NAMES)
