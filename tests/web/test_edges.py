"""Reading results for a report, against plain polars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ugrn.runtime import load
from ugrn.runtime.errors import InputError
from ugrn.web.edges import ReportEdges, read_edges


def random_edges(seed: int, rows: int = 400) -> pl.DataFrame:
    """Edges with many ties, text and numbers beside them, and names that look like numbers."""
    rng = np.random.default_rng(seed)
    names = np.array([*(f"g{i}" for i in range(20)), "7", "007", "NA", "é", "Tp53", "TP53"])
    ends = rng.choice(names, (2, rows))
    return pl.DataFrame(
        {
            "source": ends[0],
            "target": ends[1],
            "probability": rng.integers(0, 30, rows).astype(np.float32) / np.float32(29),
            "logit_vvp": rng.normal(size=rows).astype(np.float32),
            "vvp_1": rng.normal(size=rows).astype(np.float32),
            "method": rng.choice(["a", "b"], rows),
        }
    )


def as_frame(edges: ReportEdges) -> pl.DataFrame:
    genes = np.array(edges.genes)
    return pl.DataFrame({"source": genes[edges.source], "target": genes[edges.target], **edges.columns})


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet"])
@pytest.mark.parametrize("top", [1, 37, 400, 1000])
def test_the_strongest_edges_in_the_order_of_the_file(tmp_path: Path, suffix: str, top: int) -> None:
    table = random_edges(top)
    path = tmp_path / f"e{suffix}"
    if suffix == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(
            path, separator="\t" if ".tsv" in suffix else ",", compression="gzip" if ".gz" in suffix else "uncompressed"
        )
    edges = read_edges(path, top)
    expected = table.sort("probability", descending=True, maintain_order=True).head(top)
    assert as_frame(edges).equals(expected.select("source", "target", "probability", "logit_vvp"))
    assert (edges.total, edges.unscored, edges.hidden) == (400, 0, ("vvp_1", "method"))
    assert edges.genes == sorted(set(edges.genes), key=lambda name: (name.casefold(), name))


def test_hdf5_results_are_those_of_parquet(artifact: Path, tmp_path: Path) -> None:
    found = []
    for suffix in (".h5", ".parquet"):
        load(artifact).score_file([("GENE1", "GENE2"), ("GENE4", "GENE2"), ("GENE2", "GENE9")], tmp_path / f"e{suffix}")
        found.append(as_frame(read_edges(tmp_path / f"e{suffix}", 2)))
    assert found[0].select(found[1].columns).equals(found[1])  # HDF5 keeps no order of columns
    assert found[1].columns == ["source", "target", "probability", "logit_vvp", "logit_gdt"]


def test_rows_without_a_probability_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("source,target,probability,importance\na,b,,3\nc,d,0.5,\nd,e,NaN,1\n")
    edges = read_edges(path, 10)
    assert (len(edges), edges.total, edges.unscored) == (1, 1, 2)
    assert np.isnan(edges.columns["importance"]).all()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("e.csv", "source,target\na,b\n", "no probability"),
        ("e.csv", "TF,target,importance\na,b,1\n", "no source and no probability"),
        ("e.csv", "source,target,probability\n", "nothing to report"),
        ("e.csv", "", "not readable"),
        ("e.csv", "source,target,probability\na,b,likely\n", "not readable"),
        ("e.csv", "source,target,probability\na,b,1.5\n", "from 0 to 1"),
        ("e.csv", "source,target,probability\na,b,-0.5\n", "from 0 to 1"),
        ("e.csv", "source,target,probability\na,,0.5\n", "1 sources or targets are empty"),
        ("e.xlsx", "", "not a known format"),
        ("e.parquet", "no parquet", "not readable"),
        ("e.h5", "no hdf5", "not readable"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        read_edges(tmp_path / name, 10)


def test_hdf5_edges_must_point_into_its_genes(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["genes/symbol"] = np.array([b"a", b"b"])
        file["edges/source"], file["edges/target"] = np.array([0], np.int32), np.array([2], np.int32)
        file["edges/probability"] = np.array([0.5], np.float32)
    with pytest.raises(InputError, match="past its 2 genes"):
        read_edges(tmp_path / "e.h5", 10)
    with pytest.raises(InputError, match="no such file"):
        read_edges(tmp_path / "nowhere.h5", 10)
