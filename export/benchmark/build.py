"""The methods that a run compares: the paper's, the controls, the classical ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ugrn.runtime import Scorer
from ugrn.runtime.arrays import Array
from ugrn.runtime.files.atomic import replace_with
from ugrn.runtime.progress import Notify, StageProgress
from ugrn.runtime.translator.translator import EMB, PROBES

from ..pretrain.corpus import build_corpus, spectral_embeddings
from ..pretrain.pretrain import leading_components
from ..pretrain.vocabulary import (
    Vocabulary,
    embed_descriptions,
    gene_set_embeddings,
    read_embeddings,
    read_vocabulary,
)
from . import classical, controls
from .datasets import DataSet
from .features import (
    EmbeddingFeatures,
    GeneOnly,
    Joined,
    Knockout,
    PairFeatures,
    ProbeFeatures,
    ShuffledTargets,
    known_block,
    predictions,
    spread,
)
from .methods import Group, Kind, Training, classical_group, direct, translated

RANK = 128
QUICK_CLASSICAL = ("Pearson", "Spearman")


@dataclass(frozen=True)
class Sources:
    """The material of the controls; a control whose source is not given is left out.

    Attributes:
        genes: folder of gene tables, for the genes' names.
        gene_embeddings: Parquet of embeddings, instead of embedding the names.
        gene_sets: GMT file that the backbone was informed by.
        expression: the pretraining's expression files or folders.
        attention: an artifact of the same backbone exported with the readout ``attn``.
    """

    genes: Path | None = None
    gene_embeddings: Path | None = None
    gene_sets: Path | None = None
    expression: tuple[Path, ...] = ()
    attention: Scorer | None = None


def sources_of(
    data: Path, gene_embeddings: Path | None, gene_sets: Path | None, attention: Scorer | None, quick: bool
) -> Sources:
    """The sources of a run: what is given, and unless `quick` the folders genes, corpus and averages of the data."""
    folders = [data / name for name in ("genes", "corpus", "averages") if (data / name).is_dir() and not quick]
    return Sources(
        genes=next((each for each in folders if each.name == "genes"), None),
        gene_embeddings=gene_embeddings,
        gene_sets=gene_sets,
        expression=tuple(each for each in folders if each.name != "genes"),
        attention=attention,
    )


def build_groups(
    scorer: Scorer,
    training: Training,
    data: Iterable[DataSet],
    sources: Sources,
    folder: Path,
    quick: bool,
    jobs: int,
    notify: Notify,
    progress: StageProgress,
) -> list[Group]:
    """All groups of methods that the given sources allow; what they keep goes to `folder`."""
    groups = [
        *_paper(scorer, training, sources, progress),
        *_controls(scorer, training, data, sources, folder, notify, progress),
    ]
    names = QUICK_CLASSICAL if quick else tuple(classical.METHODS)
    return groups + [classical_group(name, jobs, training.config.seed) for name in names]


def _paper(scorer: Scorer, training: Training, sources: Sources, progress: StageProgress) -> list[Group]:
    """The paper's columns, and where the artifact has gene embeddings, their products."""
    names, table = scorer.artifact.names, scorer.artifact.embeddings
    probes = ProbeFeatures(scorer, lambda what, done, total: progress(f"probing {what}", done, total))
    features: PairFeatures = probes
    columns = {"vvp": "VVP", "gdt": "GDT"}
    ensembles: dict[str, tuple[str, ...]] = {"Ensemble": PROBES}
    groups = []
    if table is not None:
        products = EmbeddingFeatures(table, names, EMB, np.multiply)
        ensembles["Ensemble + tokens"] = (*PROBES, EMB)
        features = Joined((probes, products))
        sums = EmbeddingFeatures(table, names, "sum", np.add)
        groups.append(translated("Emb", "paper", sums, names, training, {"sum": "Emb (T)"}, {}))
        groups.append(translated("Tokens", "control", products, names, training, {EMB: "Tokens"}, {}))
    knockout = Knockout(scorer.artifact, scorer.settings)
    learned = Knockout(scorer.artifact, scorer.settings, virtual=training.data.expression is None)
    groups += [
        translated("probes", "paper", features, names, training, columns, ensembles),
        direct("Pert", "paper", lambda data: None if data.expression is None else np.abs(knockout.dense(data))),
        translated("Pert T", "paper", learned, names, training, {"pert": "Pert (T)"}, {}),
    ]
    for control, each in (("gene-only translator", GeneOnly(probes)), ("shuffled targets", ShuffledTargets(probes))):
        groups.append(translated(control, "control", each, names, training, {}, {control: PROBES}))
    if sources.attention is not None:
        attention = sources.attention
        groups.append(direct("Attn", "paper", lambda data: _attention(attention, data)))
    return groups


def _attention(scorer: Scorer, data: DataSet) -> Array:
    """Attention of every target to every source ``[S, G]``, the source at the baseline."""
    ids, rows, columns = known_block(scorer.artifact.names, data)
    levels = np.full((len(rows), 1), scorer.artifact.manifest.baseline, np.float32)
    found = predictions(scorer.artifact, scorer.settings, ids[data.sources[rows]], levels, ids[columns])
    return spread(found[:, 0], rows, columns, data)


def _controls(
    scorer: Scorer,
    training: Training,
    data: Iterable[DataSet],
    sources: Sources,
    folder: Path,
    notify: Notify,
    progress: StageProgress,
) -> list[Group]:
    names = scorer.artifact.names
    (folder / "random").mkdir(parents=True, exist_ok=True)
    twin = Scorer(controls.random_weights(scorer.artifact, folder / "random", seed=1), scorer.settings)
    probes = ProbeFeatures(twin, lambda what, done, total: progress(f"probing {what}, random weights", done, total))

    def degree(data: DataSet) -> Array:
        return controls.training_degree(training.data, training.network, data, names)

    groups = [
        translated("random weights", "control", probes, names, training, {}, {"random weights": PROBES}),
        direct("symbol n-grams", "control", controls.symbol_ngrams),
        direct("training degree", "control", degree),
    ]
    for name, table in _control_tables(scorer, data, sources, folder, notify).items():
        groups += _table_controls(name, table, scorer, training)
    return groups


def _control_tables(
    scorer: Scorer, data: Iterable[DataSet], sources: Sources, folder: Path, notify: Notify
) -> dict[str, Array]:
    """Tables ``[V, E]`` of genes by name, those that the sources allow."""
    names = scorer.artifact.names
    vocabulary = None if sources.genes is None else read_vocabulary(sources.genes)
    tables: dict[str, Array] = {}
    if sources.gene_embeddings is not None:
        tables["text"] = read_embeddings(sources.gene_embeddings, names.symbols)
    elif vocabulary is not None:
        tables["text"] = _embedded(vocabulary, scorer, data, folder, notify)
    if sources.gene_sets is not None:
        tables["gene sets"] = gene_set_embeddings(sources.gene_sets, names, RANK)
    if vocabulary is not None and sources.expression:
        notify("co-expression of the pretraining data")
        vocabulary = replace(vocabulary, symbols=names.symbols)
        tables["co-expression"] = spectral_embeddings(build_corpus(sources.expression, vocabulary), RANK)
    return tables


def _table_controls(name: str, table: Array, scorer: Scorer, training: Training) -> Sequence[Group]:
    """The cosine of a table's rows, and a translator on their leading components' products."""
    names = scorer.artifact.names
    products = EmbeddingFeatures(leading_components(table - table.mean(0), RANK), names, EMB, np.multiply)
    kind: Kind = "control"
    return (
        direct(f"{name} cosine", kind, lambda data: controls.cosine(table, names, data)),
        translated(f"{name} translator", kind, products, names, training, {EMB: f"{name} translator"}, {}),
    )


def _embedded(vocabulary: Vocabulary, scorer: Scorer, data: Iterable[DataSet], folder: Path, notify: Notify) -> Array:
    """Embeddings ``[V, E]`` of the descriptions of the data sets' genes, their mean elsewhere; kept in the folder."""
    kept, names = folder / "text.npy", scorer.artifact.names
    if not kept.exists():
        ids = np.unique(np.concatenate([names.ids(each.genes) for each in data]))
        ids = ids[ids >= 0]
        notify(f"embedding the names of {len(ids):,} genes (minutes on a small machine, once)")
        described = dict(zip(vocabulary.symbols, vocabulary.descriptions, strict=True))
        found = embed_descriptions([described.get(names.symbols[row], names.symbols[row]) for row in ids])
        embedded = np.repeat(found.mean(0, keepdims=True), len(names), axis=0)
        embedded[ids] = found

        def write(part: Path) -> None:
            with part.open("wb") as file:  # np.save would add a suffix to a name
                np.save(file, embedded)

        replace_with(kept, write)
    return np.asarray(np.load(kept, allow_pickle=False), np.float32)
