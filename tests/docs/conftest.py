"""Small inputs under the names that the documents use, so that every command in them can be run."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.checkpoints import scgpt
from tests.helpers.multiome import cell_names, make, write_h5ad, write_h5mu, write_tables
from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.backbones.mini_checkpoint import Checkpoint, save_checkpoint
from ugrn.export.bundle.artifact import ExportSettings, write_artifact
from ugrn.export.bundle.seal import add_translator
from ugrn.export.model.base import Origin
from ugrn.export.pretrain.vocabulary import write_embeddings
from ugrn.runtime import bundled_artifact
from ugrn.runtime.artifact.folder import read_lines
from ugrn.runtime.translator.translator import Translator

KNOWN = "GATA1 KLF1 TAL1 SPI1 HBB HBA1 EPOR CEBPA POU5F1 NANOG SOX2 CD14 STAT1 IRF1 TP53 CDKN1A".split()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="session")
def symbols() -> list[str]:
    """Sixty genes of the bundled vocabulary, those of the documents' examples first."""
    others = [name for name in read_lines(bundled_artifact() / "genes.txt")[::400] if name not in KNOWN]
    return [*KNOWN, *others][:60]


@pytest.fixture(scope="session")
def inputs(
    tmp_path_factory: pytest.TempPathFactory,
    symbols: list[str],
    new_backbone: Callable[[int], MiniBackbone],
    new_translator: Callable[[int], Translator],
) -> Path:
    """A folder with all that the commands read."""
    folder = tmp_path_factory.mktemp("inputs")
    _lists(folder, symbols)
    _expression(folder, symbols)
    _gene_tables(folder, symbols)
    _networks(folder, symbols)
    backbone = new_backbone(0)
    backbone.symbols = symbols
    for name in ("my-backbone", "my-pretrained"):
        (folder / name).mkdir()
        save_checkpoint(Checkpoint(backbone, {}, symbols[:20], {}), folder / name)
    settings = ExportSettings(context=symbols[2:4])
    write_artifact(backbone, folder / "my-artifact", settings, Origin())
    add_translator(folder / "my-artifact", new_translator(0), {})
    hub = folder / "home" / "hub" / "owner" / "my-artifact" / COMMIT
    shutil.copytree(folder / "my-artifact", hub)
    checkpoint = scgpt.write(folder / "CHECKPOINT_FOLDER", scgpt.make_state("human"), specials=True)
    named = json.loads((checkpoint / "vocab.json").read_text())
    genes = {symbols[row] if row < scgpt.GENES else token: row for token, row in named.items()}
    (checkpoint / "vocab.json").write_text(json.dumps(genes))
    return folder


def _lists(folder: Path, symbols: list[str]) -> None:
    rng = np.random.default_rng(0)
    (folder / "pairs.csv").write_text("source,target\nPOU5F1,NANOG\nGATA1,KLF1\nTAL1,HBB\nSPI1,CD14\n")
    (folder / "tfs.txt").write_text("GATA1\nTAL1\nSPI1\n")
    (folder / "genes.txt").write_text("\n".join(symbols[:25]) + "\n")
    dense = symbols[: scgpt.GENES]  # these alone must be enough for a fit
    pairs = [
        (a, b)
        for a in symbols
        for b in symbols
        if a != b and rng.random() < (0.4 if a in dense and b in dense else 0.1)
    ]
    pl.DataFrame(pairs, schema=["source", "target"], orient="row").write_csv(folder / "my-network.csv")
    (folder / "profile.csv").write_text("gene,value\nGATA1,2.5\nKLF1,1.5\n")
    (folder / "names.txt").write_text("OCT4\nENSG00000111704\nMLL2\n")
    (folder / "grnboost2.tsv").write_text("TF\ttarget\timportance\nGATA1\tKLF1\t9.5\nTAL1\tHBB\t2\n")
    result = pl.DataFrame({"source": ["GATA1", "TAL1"], "target": ["KLF1", "HBB"], "probability": [0.9, 0.5]})
    result.write_parquet(folder / "edges.parquet")
    result.write_csv(folder / "net.csv")
    (folder / "pairs.tsv").write_text("GATA1\tKLF1\nTAL1\tHBB\n")


def _expression(folder: Path, symbols: list[str]) -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(3.0, (40, len(symbols))).astype(np.float32)
    counts[:20, :5] *= 4
    types = pd.DataFrame({"cell_type": pd.Categorical(["B cell"] * 20 + ["T cell"] * 20)}, [str(n) for n in range(40)])
    anndata.AnnData(counts, types, pd.DataFrame(index=symbols)).write_h5ad(folder / "cells.h5ad")
    for name in ("corpus", "averages"):
        (folder / name).mkdir()
        with h5py.File(folder / name / "made.h5", "w") as file:
            file["values"] = rng.lognormal(size=(150, len(symbols))).astype(np.float32)
            file["genes"] = [symbol.encode() for symbol in symbols]
            file.attrs["licence"] = "MIT"


def _networks(folder: Path, symbols: list[str]) -> None:
    """Regulons of SCENIC+, and paired RNA and ATAC."""
    rows = [
        (tf, gene, f"chr1:{place}-{place + 9}", f"{tf}_direct_+/+_(4g)")
        for tf in symbols[:2]
        for place, gene in enumerate(symbols[4:8])
    ]
    columns = ["TF", "Gene", "Region", "Gene_signature_name"]
    pl.DataFrame(rows, schema=columns, orient="row").write_csv(folder / "eRegulons.tsv", separator="\t")
    made = make(np.random.default_rng(3))
    write_h5mu(folder / "multiome.h5mu", made)
    write_h5ad(folder / "rna.h5ad", made.rna, cell_names(), made.genes)
    write_h5ad(folder / "atac.h5ad", made.atac, cell_names(), made.peaks)
    write_tables(folder, made)


def _gene_tables(folder: Path, symbols: list[str]) -> None:
    """In the layout of NCBI, HGNC and MGI, and an embedding of every gene."""
    genes, count = folder / "genes", len(symbols)
    genes.mkdir()
    described = {"symbol": symbols, "type": ["protein-coding"] * count, "authority_id": ["HGNC:1"] * count}
    lists = {"name": symbols, "synonyms": [[]] * count, "other_names": [[]] * count}
    text = pl.List(pl.String)
    table = pl.DataFrame(described | lists, schema_overrides={"synonyms": text, "other_names": text})
    table.write_parquet(genes / "human.parquet")
    for name, columns in (
        ("human_gene_names", "name\tsymbol\tkind\tambiguous\nOCT4\tPOU5F1\talias\t0\n"),
        ("mgi_human_mouse_homologs", "human_symbol\tmouse_symbol\tone_to_one\nNANOG\tNanog\t1\n"),
    ):
        (genes / f"{name}.tsv.gz").write_bytes(gzip.compress(columns.encode()))
    embeddings = np.random.default_rng(2).normal(size=(count, 6)).astype(np.float32)
    write_embeddings(folder / "embeddings.parquet", symbols, embeddings)
