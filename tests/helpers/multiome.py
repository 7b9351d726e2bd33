"""Paired RNA and ATAC with planted regulation, as files; no real multiome was at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import write_elem

CELLS, GENES, SOURCES = 300, 60, 6


@dataclass(frozen=True)
class Made:
    """What was planted.

    Attributes:
        rna, atac: counts ``[N, G]`` and ``[N, P]``.
        genes, peaks: names.
        tss: of the genes, all on one of two chromosomes (the even ones on chr1).
        linked: peak to the gene that it regulates.
        hits: rows of peak, tf and nes.
        edges: source and target, that are to be found.
    """

    rna: np.ndarray
    atac: np.ndarray
    genes: list[str]
    peaks: list[str]
    tss: np.ndarray
    linked: dict[int, int]
    hits: list[tuple[str, str, float]]
    edges: set[tuple[str, str]]


def make(random: np.random.Generator) -> Made:
    """Every gene lies 1 Mb from the next. It has one peak within 100 kb that goes with its expression in a state of
    the cells of its own, one that does not, and one that does but is 300 kb away; half of the first have the motif of
    a source, all others have hits that are too weak, and the second strong ones too."""
    genes = [f"GENE{row}" for row in range(GENES)]
    tss = 1_000_000 * (1 + np.arange(GENES) // 2)
    state = random.gamma(0.5, 2.0, (CELLS, GENES))
    rna = random.poisson(1 + 8 * state).astype(np.float32)
    peaks, rates, linked, hits, edges = [], [], {}, [], set()
    for gene in range(GENES):
        chromosome = "chr1" if gene % 2 == 0 else "chr2"
        for kind, offset in (("near", 1), ("idle", 1), ("far", 3)):
            at = int(tss[gene] + offset * random.integers(80_000, 100_000) * random.choice([-1, 1]))
            at += 500 * (kind == "idle")
            name = f"{chromosome}:{at}-{at + 400}"
            source = genes[int(random.integers(SOURCES))]
            strong = kind == "idle" or (kind == "near" and random.random() < 0.5)
            hits.append((name, source, float(random.uniform(3.1, 9) if strong else random.uniform(0, 2.9))))
            if kind == "near":
                linked[len(peaks)] = gene
                edges |= {(source, genes[gene])} if strong and source != genes[gene] else set()
            peaks.append(name)
            rates.append(np.full(CELLS, 0.5) if kind == "idle" else 0.1 + 1.5 * state[:, gene])
    atac = random.poisson(np.stack(rates, 1)).astype(np.float32)
    return Made(rna, atac, genes, peaks, tss, linked, hits, edges)


def cell_names(count: int = CELLS) -> list[str]:
    return [f"cell{row}" for row in range(count)]


def write_h5ad(path: Path, values: np.ndarray, cells: list[str], features: list[str]) -> Path:
    tables = pd.DataFrame(index=cells), pd.DataFrame(index=features)
    anndata.AnnData(sp.csr_matrix(values), *tables).write_h5ad(path)
    return path


def write_h5mu(path: Path, made: Made, *, order: np.ndarray | None = None) -> Path:
    """In mudata's layout: every modality is a group that is laid out like an ``.h5ad`` file.

    Args:
        path: to write.
        made: its values.
        order: of the cells in the second modality.
    """
    order = np.arange(CELLS) if order is None else order
    names = cell_names()
    with h5py.File(path, "w", userblock_size=512) as file:
        file.attrs["encoding-type"], file.attrs["encoding-version"] = "MuData", "0.1.0"
        file.create_group("mod").attrs["mod-order"] = ["rna", "atac"]
        modalities = {
            "rna": (made.rna, names, made.genes),
            "atac": (made.atac[order], [names[at] for at in order], made.peaks),
        }
        for name, (values, cells, features) in modalities.items():
            group = file.create_group(f"mod/{name}")
            write_elem(group, "X", sp.csr_matrix(values))
            write_elem(group, "obs", pd.DataFrame(index=cells))
            write_elem(group, "var", pd.DataFrame(index=features))
        write_elem(file, "obs", pd.DataFrame(index=names))
    return path


def write_tables(folder: Path, made: Made) -> tuple[Path, Path]:
    """Gene positions, half of the genes on the other strand, and motif hits."""
    rows = [
        (gene, f"chr{1 + row % 2}", at if row % 3 else at - 900, at + 900 if row % 3 else at, "+" if row % 3 else "-")
        for row, (gene, at) in enumerate(zip(made.genes, made.tss.tolist(), strict=True))
    ]
    positions, hits = folder / "positions.tsv", folder / "hits.tsv"
    columns = ["gene", "chromosome", "start", "end", "strand"]
    pd.DataFrame(rows, columns=columns).to_csv(positions, sep="\t", index=False)
    pd.DataFrame(made.hits, columns=["peak", "tf", "nes"]).to_csv(hits, sep="\t", index=False)
    return positions, hits
