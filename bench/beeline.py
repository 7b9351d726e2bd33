"""How an artifact does on BEELINE networks it was not trained on, with its random-weight twin beside it.

The translator was trained on hESC STRING. Every other data set and network is scored end to end: all its edges
and one degree-aware negative per edge, five draws. AUPRC for all pairs and for pairs of which both genes are
absent from the training network; expected calibration error and Brier score; chance is 0.5. With
``--gene-embeddings`` (the ``gene_embeddings.parquet`` of a pretrained backbone) the cosine of the genes' description
embeddings is scored on the same pairs: what the text alone knows.

    python bench/beeline.py [ARTIFACT] [--data ../shared/data] [--gene-embeddings FILE] [--json results.json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.metrics import average_precision_score

from ugrn.export.backbones.base import Origin
from ugrn.export.backbones.mini import FinishedGenes, MiniBackbone, MiniConfig
from ugrn.export.bundle import ExportSettings, add_translator, write_artifact
from ugrn.export.training.calibration import brier, calibration_error
from ugrn.export.training.negatives import draw_negatives
from ugrn.export.training.translator import TranslatorConfig, train_on_network
from ugrn.export.training.vocabulary import read_embeddings
from ugrn.runtime import Scorer, bundled_artifact, load

SEEDS = 5
NETWORKS = ("string", "nonspecific", "specific", "lofgof")
TRAINED_ON = ("hESC", "string")
SCORES = {"VVP": "logit_vvp", "GDT": "logit_gdt", "Ensemble": "probability"}


def edges_of(data: Path, dataset: str, network: str, panel: int = 500) -> pl.DataFrame:
    """True edges of one network."""
    table = pl.scan_parquet(data / "beeline" / "edges.parquet")
    rows = (pl.col("dataset") == dataset) & (pl.col("network") == network) & (pl.col("panel") == panel)
    return table.filter(rows).select("source", "target").collect()


def evaluate(
    scorer: Scorer, data: Path, dataset: str, network: str, seen: np.ndarray, text: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """Scores of one network, one row per draw of negatives; of the text's cosine where `text` ``[V, E]`` is given."""
    resolved = scorer.resolve(edges_of(data, dataset, network))
    rows = resolved.sorted_rows
    edges = np.stack(resolved.gene_ids(rows), axis=1).astype(np.int64)
    symbols = np.array(scorer.artifact.names.symbols)
    out = []
    for seed in range(SEEDS):
        negatives = draw_negatives(edges, np.unique(edges), "degree-aware", np.random.default_rng([seed, 7]))
        pairs = np.concatenate([edges, negatives])
        labels = np.concatenate([np.ones(len(edges)), np.zeros(len(negatives))])
        if text is None:
            frame = scorer.score(pl.DataFrame({"source": symbols[pairs[:, 0]], "target": symbols[pairs[:, 1]]}))
            scores = {name: frame[column].to_numpy() for name, column in SCORES.items()}
        else:
            scores = {"Ensemble": (text[pairs[:, 0]] * text[pairs[:, 1]]).sum(1)}
        unseen = ~np.isin(pairs, seen).any(axis=1)
        weights = even(labels)
        row: dict[str, Any] = {"dataset": dataset, "network": network, "seed": seed, "edges": len(edges)}
        row |= {"rejected": len(resolved.pairs) - len(rows), "unseen": int(labels[unseen].sum())}
        for name, score in scores.items():
            row[name] = average_precision_score(labels, score, sample_weight=weights)
            row[f"{name} unseen"] = average_precision_score(
                labels[unseen], score[unseen], sample_weight=even(labels[unseen])
            )
        if text is None:
            row["ECE"] = calibration_error(labels, scores["Ensemble"], weights)
            row["Brier"] = brier(labels, scores["Ensemble"], weights)
        out.append(row)
    return out


def even(labels: np.ndarray) -> np.ndarray:
    """Weights that make both classes weigh the same, so that chance is 0.5."""
    return np.where(labels == 1, 1 / max(labels.sum(), 1), 1 / max((1 - labels).sum(), 1))


def random_twin(scorer: Scorer, data: Path, folder: Path, seed: int) -> Scorer:
    """The same architecture with random weights, its translator trained in the same way."""
    torch.manual_seed(seed)
    shape = scorer.artifact.manifest.shape
    config = MiniConfig(shape.width, shape.layers, shape.heads, shape.feedforward)
    symbols = scorer.artifact.names.symbols
    table = FinishedGenes(len(symbols), shape.width)
    table.table.copy_(torch.nn.functional.layer_norm(torch.randn(len(symbols), shape.width), (shape.width,)))
    backbone = MiniBackbone(config, symbols, table).eval()
    context = tuple(symbols[row] for row in scorer.artifact.context)
    write_artifact(backbone, folder / "random", ExportSettings(context=context), Origin(scorer.artifact.names.aliases))
    edges = edges_of(data, *TRAINED_ON).rows()
    fit = train_on_network(load(folder / "random"), edges, TranslatorConfig(), lambda done, total: None)
    add_translator(folder / "random", fit.translator, fit.metrics)
    return load(folder / "random")


def table(results: pl.DataFrame) -> str:
    """A Markdown table: AUPRC as all / both genes unseen, mean over draws."""
    columns = [f"{name}{part}" for name in SCORES for part in ("", " unseen")] + ["ECE", "Brier"]
    mean = results.group_by("model", "network", "dataset", maintain_order=True).agg(
        pl.col(columns).mean(), pl.col("edges", "unseen", "rejected").first()
    )
    overall = mean.group_by("model", "network", maintain_order=True).agg(
        pl.lit("mean").alias("dataset"), pl.col(columns).mean(), pl.col("edges", "unseen", "rejected").sum()
    )
    lines = [
        "| model | network | data set | edges (unseen; unknown) | VVP | GDT | Ensemble or control | ECE | Brier |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in pl.concat([mean, overall.select(mean.columns)]).iter_rows(named=True):
        cells = [f"{_number(row[name])} / {_number(row[f'{name} unseen'])}" for name in SCORES]
        counts = f"{row['edges']} ({row['unseen']}; {row['rejected']})"
        lines.append(
            f"| {row['model']} | {row['network']} | {row['dataset']} | {counts} | "
            f"{' | '.join(cells)} | {_number(row['ECE'])} | {_number(row['Brier'])} |"
        )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("artifact", nargs="?", type=Path, default=bundled_artifact())
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--gene-embeddings", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # negatives that share a gene name are reported in the counts
    scorer = load(arguments.artifact)
    seen = np.unique([scorer.artifact.names.ids(column) for column in edges_of(arguments.data, *TRAINED_ON)])
    present = pl.read_parquet(arguments.data / "beeline" / "edges.parquet").select("dataset", "network").unique()
    cells = sorted(row for row in present.rows() if row[0] != TRAINED_ON[0] and row[1] in NETWORKS)
    cells.sort(key=lambda row: NETWORKS.index(row[1]))
    with tempfile.TemporaryDirectory() as folder:
        models = {"artifact": scorer, "random weights": random_twin(scorer, arguments.data, Path(folder), seed=1)}
        rows = [
            {"model": model} | row
            for model, each in models.items()
            for dataset, network in cells
            for row in evaluate(each, arguments.data, dataset, network, seen)
        ]
    if arguments.gene_embeddings:
        text = read_embeddings(arguments.gene_embeddings, scorer.artifact.names.symbols)
        text = text - text.mean(0)
        text /= np.linalg.norm(text, axis=1, keepdims=True).clip(1e-6)
        for dataset, network in cells:
            found = evaluate(scorer, arguments.data, dataset, network, seen, text)
            rows += [{"model": "text alone, cosine"} | row for row in found]
    results = pl.DataFrame(rows)
    print(table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
