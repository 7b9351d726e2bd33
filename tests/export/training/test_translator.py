"""Translators fitted to pairs whose rule is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ugrn.export.training.examples import Examples, LabelledPairs, TranslatorConfig, split_edges
from ugrn.export.training.translator import fit_translator
from ugrn.runtime.errors import InputError


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
