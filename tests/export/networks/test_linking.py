"""Networks from paired RNA and ATAC: correlations against plain loops, and planted edges; no real data was at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from tests.helpers.multiome import CELLS, Made, cell_names, make, write_h5ad, write_h5mu, write_tables
from ugrn.export.networks.linking import LinkInputs, LinkSettings, LinkSummary, correlations, write_links
from ugrn.export.networks.network_files import STRENGTHS, read_network
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames

STRICT = LinkSettings(min_correlation=0.3)
"""With few cells a correlation of .03 is noise."""


def link(inputs: LinkInputs, output: Path, settings: LinkSettings = STRICT) -> LinkSummary:
    return write_links(inputs, output, settings, lambda done, total: None)


@pytest.fixture
def made(random: np.random.Generator) -> Made:
    return make(random)


@pytest.fixture
def inputs(made: Made, tmp_path: Path) -> LinkInputs:
    mu = write_h5mu(tmp_path / "multiome.h5mu", made)
    return LinkInputs(mu, mu, *write_tables(tmp_path, made))


def ln_cp10k(counts: np.ndarray) -> np.ndarray:
    return np.log1p(counts.astype(np.float64) / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4)


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    below = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / below) if below else 0.0


def test_correlations_are_those_of_a_plain_loop(random: np.random.Generator) -> None:
    left, right = (random.poisson(0.8, (50, count)).astype(np.float32) for count in (9, 20))
    left[:, 2], right[:, 5], right[:, 6] = 1.7, 0.0, 0.3  # do not vary
    genes = np.sort(random.integers(0, 9, 60))
    peaks = random.integers(0, 20, 60)
    told: list[tuple[int, int]] = []
    found = correlations(sp.csc_array(left), sp.csc_array(right), genes, peaks, lambda *a: told.append(a))
    for row, (gene, peak) in enumerate(zip(genes, peaks, strict=True)):
        varies = gene != 2 and peak not in (5, 6)
        expected = pearson(left[:, gene].astype(np.float64), right[:, peak].astype(np.float64)) if varies else 0.0
        assert found[row] == pytest.approx(expected, abs=1e-10)
    assert told[-1] == (len(np.unique(genes)),) * 2
    none = np.zeros(0, np.int64)
    assert len(correlations(sp.csc_array(left), sp.csc_array(right), none, none, lambda *a: None)) == 0


def test_planted_edges_are_found(made: Made, inputs: LinkInputs, tmp_path: Path) -> None:
    summary = link(inputs, tmp_path / "net.csv")
    table = pl.read_csv(tmp_path / "net.csv")
    assert table.columns == ["source", "target", "weight", "correlation", "peaks"]
    found = set(table.select("source", "target").iter_rows())
    precision, recall = len(found & made.edges) / len(found), len(found & made.edges) / len(made.edges)
    print(f"precision {precision:.3f}, recall {recall:.3f}")
    assert precision > 0.95
    assert recall > 0.95
    assert (summary.cells, summary.genes, summary.peaks, summary.pairs) == (CELLS, 60, 180, 120)
    assert summary.edges == len(table) == len(found)
    assert summary.rejects is None
    assert json.loads((tmp_path / "net.csv.json").read_text())["settings"]["min_correlation"] == 0.3


def test_weights_are_the_largest_correlations(made: Made, inputs: LinkInputs, tmp_path: Path) -> None:
    link(inputs, tmp_path / "net.parquet", LinkSettings(min_correlation=0.0))
    table = pl.read_parquet(tmp_path / "net.parquet")
    rna, atac = ln_cp10k(made.rna), ln_cp10k(made.atac)
    strong = {(peak, tf) for peak, tf, nes in made.hits if nes > 3}
    expected: dict[tuple[str, str], list[float]] = {}
    for peak, name in enumerate(made.peaks):
        chromosome, _, span = name.partition(":")
        centre = sum(map(int, span.split("-"))) / 2
        for gene, symbol in enumerate(made.genes):
            if chromosome == f"chr{1 + gene % 2}" and abs(centre - made.tss[gene]) <= 150_000:
                for tf in (tf for at, tf in strong if at == name and tf != symbol):
                    expected.setdefault((tf, symbol), []).append(pearson(rna[:, gene], atac[:, peak]))
    assert len(table) == len(expected)
    for source, target, weight, correlation, peaks in table.iter_rows():
        values = expected[source, target]
        best = max(values, key=abs)
        assert (weight, correlation, peaks) == (
            pytest.approx(abs(best), abs=1e-5),
            pytest.approx(best, abs=1e-5),
            len(values),
        )
    assert table["weight"].dtype == pl.Float32
    strongest_first = [group["weight"].is_sorted(descending=True) for _, group in table.group_by("source")]
    assert all(strongest_first)


@pytest.mark.parametrize("suffix", [".tsv", ".csv.gz", ".parquet", ".h5"])
def test_results_are_networks(inputs: LinkInputs, tmp_path: Path, suffix: str) -> None:
    summary = link(inputs, tmp_path / f"net{suffix}")
    found = read_network(tmp_path / f"net{suffix}", GeneNames([f"GENE{row}" for row in range(60)]), STRENGTHS)
    assert len(found.network) == summary.edges
    assert found.weights is not None
    assert found.weights.min() > 0.3
    link(inputs, tmp_path / "net.graphml")
    assert 'attr.name="peaks" attr.type="long"' in (tmp_path / "net.graphml").read_text()


def test_two_files_with_cells_in_another_order_are_the_same(
    random: np.random.Generator, made: Made, inputs: LinkInputs, tmp_path: Path
) -> None:
    link(inputs, tmp_path / "net.csv")
    order = random.permutation(CELLS)
    shuffled = write_h5mu(tmp_path / "shuffled.h5mu", made, order=order)
    link(LinkInputs(shuffled, shuffled, inputs.gene_positions, inputs.motif_hits), tmp_path / "shuffled.csv")
    names = cell_names()
    rna = write_h5ad(tmp_path / "rna.h5ad", made.rna, names, made.genes)
    dashes = [name.replace(":", "-") for name in made.peaks]
    atac = write_h5ad(tmp_path / "atac.h5ad", made.atac[order], [names[row] for row in order], dashes)
    link(LinkInputs(rna, atac, inputs.gene_positions, inputs.motif_hits), tmp_path / "two.csv")
    first = (tmp_path / "net.csv").read_bytes()
    assert (tmp_path / "shuffled.csv").read_bytes() == first
    assert (tmp_path / "two.csv").read_bytes() == first


def test_cells_of_one_file_alone_are_left_out(made: Made, inputs: LinkInputs, tmp_path: Path) -> None:
    names = cell_names()
    rna = write_h5ad(tmp_path / "rna.h5ad", made.rna[:200], names[:200], made.genes)
    atac = write_h5ad(tmp_path / "atac.h5ad", made.atac[50:], names[50:], made.peaks)
    summary = link(LinkInputs(rna, atac, inputs.gene_positions, inputs.motif_hits), tmp_path / "net.csv")
    assert summary.cells == 150
    assert summary.notes == ["150 cells are in both, of 200 with RNA and 250 with ATAC"]
    other = write_h5ad(tmp_path / "other.h5ad", made.atac, [f"x{name}" for name in names], made.peaks)
    with pytest.raises(InputError, match="0 cells are in both.*expected the same cells"):
        link(LinkInputs(rna, other, inputs.gene_positions, inputs.motif_hits), tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_what_cannot_be_used_is_listed(made: Made, inputs: LinkInputs, tmp_path: Path) -> None:
    positions = pl.read_csv(inputs.gene_positions, separator="\t")
    positions = positions.with_columns(pl.when(pl.col("gene") == "GENE50").then(None).otherwise("start").alias("start"))
    positions = positions.with_columns(pl.when(pl.col("gene") == "GENE50").then(None).otherwise("end").alias("end"))
    positions.filter(pl.col("gene") != "GENE40").write_csv(inputs.gene_positions, separator="\t")
    with inputs.motif_hits.open("a") as file:
        file.write(
            f"chr9:1-2\tGENE1\t5\n{made.peaks[0]}\tNOSUCH\t5\n{made.peaks[0]}\tGENE2\thigh\nchr9:1-2\tGENE1\t1\n"
            + "".join(f"{peak}\tGENE3\tnan\n" for peak in made.peaks[1:])  # no edge may come of these
        )
    rna = write_h5ad(tmp_path / "rna.h5ad", made.rna, cell_names(), made.genes)
    atac = write_h5ad(tmp_path / "atac.h5ad", made.atac, cell_names(), ["peak0", *made.peaks[1:]])
    summary = link(LinkInputs(rna, atac, inputs.gene_positions, inputs.motif_hits), tmp_path / "net.csv")
    without = {name for name in pl.read_csv(tmp_path / "net.csv")["source"].unique()}
    assert ("GENE3" in without) == any(tf == "GENE3" and nes > 3 for _, tf, nes in made.hits)
    hits = {"NES is no number", "TF is not in the data", "peak is not in the data"}
    assert summary.rejected["genes"] == {"no position": 1, "position cannot be read": 1}
    assert summary.rejected["peaks"] == {"not chromosome:start-end": 1}
    listed = pl.read_csv(tmp_path / "net.csv.rejects.csv")
    assert ("genes", "GENE40", "no position") in listed.rows()
    assert ("genes", "GENE50", "position cannot be read") in listed.rows()
    assert ("peaks", "peak0", "not chromosome:start-end") in listed.rows()
    assert ("motif hits", "NOSUCH", "TF is not in the data") in listed.rows()
    assert ("motif hits", "chr9:1-2", "peak is not in the data") in listed.rows()
    assert summary.rejected["motif hits"].keys() <= hits
    assert summary.rejected["motif hits"]["NES is no number"] == len(made.peaks)


def test_values_that_are_no_counts_are_said_to_be(made: Made, inputs: LinkInputs, tmp_path: Path) -> None:
    rna = write_h5ad(tmp_path / "rna.h5ad", ln_cp10k(made.rna).astype(np.float32), cell_names(), made.genes)
    atac = write_h5ad(tmp_path / "atac.h5ad", made.atac, cell_names(), made.peaks)
    summary = link(LinkInputs(rna, atac, inputs.gene_positions, inputs.motif_hits), tmp_path / "net.csv")
    assert summary.notes == [f"{rna}: values are not counts, and are taken as ln(1 + 1e4 x / sum)"]
    link(inputs, tmp_path / "counts.csv")
    assert (tmp_path / "net.csv").read_text() == (tmp_path / "counts.csv").read_text()


def _no_atac(inputs: LinkInputs) -> None:
    with h5py.File(inputs.rna, "r+") as file:
        file.move("mod/atac", "mod/peaks")


def _no_hits_columns(inputs: LinkInputs) -> None:
    inputs.motif_hits.write_text("peak\tmotif\nchr1:1-2\tGENE1\n")


def _no_sources(inputs: LinkInputs) -> None:
    inputs.motif_hits.write_text("peak\ttf\tnes\nchr1:1-2\tNOSUCH\t4\n")


def _other_chromosomes(inputs: LinkInputs) -> None:
    text = inputs.gene_positions.read_text()
    inputs.gene_positions.write_text(text.replace("chr1", "chr8").replace("chr2", "chr9"))


def _other_genes(inputs: LinkInputs) -> None:
    inputs.gene_positions.write_text(inputs.gene_positions.read_text().replace("GENE", "NOSUCH"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_no_atac, "no modality 'atac': its modalities are peaks, rna"),
        (_no_hits_columns, "expected peak, tf and nes"),
        (_no_sources, "none of its TFs is in the data"),
        (_other_chromosomes, "no edge is left: 0 pairs of a gene and a peak"),
        (_other_genes, "no gene has a place"),
    ],
)
def test_bad_inputs_are_one_clear_error(
    inputs: LinkInputs, tmp_path: Path, spoil: Callable[[LinkInputs], None], words: str
) -> None:
    spoil(inputs)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=words):
        link(inputs, tmp_path / "net.csv")
    assert sorted(tmp_path.iterdir()) == before


def test_settings_out_of_range() -> None:
    for wrong in ({"window": -1.0}, {"min_correlation": 1.0}, {"min_correlation": -0.1}, {"min_nes": float("nan")}):
        with pytest.raises(InputError, match="expected base pairs from 0"):
            LinkSettings(**wrong)


def test_hits_that_are_all_too_weak(inputs: LinkInputs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 motif hits with a NES above 100"):
        link(inputs, tmp_path / "net.csv", LinkSettings(min_nes=100))
    assert not (tmp_path / "net.csv").exists()
