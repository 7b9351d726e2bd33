"""Features and controls against one pair at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.benchmark import controls
from ugrn.export.benchmark.datasets import DataSet
from ugrn.export.benchmark.features import GeneOnly, Knockout, ProbeFeatures, ShuffledTargets, known_ids, predictions
from ugrn.export.bundle.artifact import ExportSettings, write_artifact
from ugrn.export.graph.probe import Probe
from ugrn.export.model.base import Origin
from ugrn.runtime import Scorer, load
from ugrn.runtime.artifact.folder import open_artifact
from ugrn.runtime.engine.session import RuntimeSettings
from ugrn.runtime.genes.names import GeneNames


def test_second_names_of_one_gene_are_not_known(bench_data: dict[str, DataSet], artifact: Path) -> None:
    data = bench_data["test"]
    names = GeneNames([f"GENE{row}" for row in range(60)], {"GENE55": "GENE5"})
    ids = known_ids(names, data)
    known = dict(zip(data.genes, ids.tolist(), strict=True))
    assert known["NOTKNOWN"] == -1
    assert known["Gene58"] == 58
    assert len(set(ids[ids >= 0])) == (ids >= 0).sum()


def test_dense_features_are_the_scorers(bench_data: dict[str, DataSet], artifact: Path) -> None:
    data, scorer = bench_data["test"], load(artifact)
    probes = ProbeFeatures(scorer)
    rng = np.random.default_rng(0)
    sources, targets = rng.choice(data.sources, 30), rng.choice(np.arange(50), 30)
    keep = (sources != targets) & (known_ids(scorer.artifact.names, data)[targets] >= 0)
    pairs = [(data.genes[s], data.genes[t]) for s, t in zip(sources[keep], targets[keep], strict=True)]
    expected = scorer.features(list(dict.fromkeys(pairs)))
    lookup = {row[:2]: row[2:] for row in expected.iter_rows()}
    found = probes(data, sources[keep], targets[keep])
    for row, pair in enumerate(pairs):
        both = np.concatenate([found["vvp"][row], found["gdt"][row]])
        np.testing.assert_allclose(both, lookup[pair], rtol=1e-4, atol=1e-5)


def test_marginal_means_and_shuffled_targets_against_loops(bench_data: dict[str, DataSet], artifact: Path) -> None:
    data = bench_data["test"]
    probes = ProbeFeatures(load(artifact))
    dense = probes.dense(data)["vvp"].astype(np.float64)
    s, t = int(data.sources[4]), 7
    found = GeneOnly(probes)(data, np.array([s]), np.array([t]))["vvp"][0]
    row = [cell for cell in dense[data.rows[s]] if not np.isnan(cell).any()]
    column = [dense[r, t] for r in range(len(dense)) if not np.isnan(dense[r, t]).any()]
    np.testing.assert_allclose(found, np.concatenate([np.mean(row, 0), np.mean(column, 0)]), rtol=1e-4, atol=1e-6)
    everything = np.arange(50)
    shuffled = ShuffledTargets(probes)(data, np.full(50, s), everything)["gdt"]
    plain = probes(data, np.full(len(data.genes), s), np.arange(len(data.genes)))["gdt"]
    own = probes(data, np.full(50, s), everything)["gdt"]
    assert all(any(np.array_equal(one, other) for other in plain) for one in shuffled)
    assert np.mean([np.array_equal(a, b) for a, b in zip(shuffled, own, strict=True)]) < 0.2


def test_knockout_against_the_backbone(bench_data: dict[str, DataSet], untrained: Path, backbone: MiniBackbone) -> None:
    data, artifact = bench_data["test"], open_artifact(untrained)
    assert data.expression is not None
    dense = Knockout(artifact, RuntimeSettings(provider="cpu")).dense(data)
    module = Probe(backbone, "mvc", 0.0).module(False, double=True)
    ids = known_ids(artifact.names, data)
    for source in data.sources[:3].tolist():
        values = data.expression[:, source].astype(np.float64)
        zero = np.clip(-values.mean() / values.std(), -4.0, -1.0)
        with torch.no_grad():
            (found,) = module(
                torch.tensor(artifact.context),
                torch.zeros(3).double(),
                torch.tensor([ids[source]]),
                torch.tensor([[zero, 0.0]]),
                torch.tensor(ids[ids >= 0]),
            )
        expected = (found[0, 0] - found[0, 1]).numpy()
        np.testing.assert_allclose(dense[data.rows[source]][ids >= 0], expected, rtol=1e-3, atol=1e-5)


def test_random_weights_keep_shapes_and_scale_and_know_nothing_of_the_old(untrained: Path, tmp_path: Path) -> None:
    twin = controls.random_weights(open_artifact(untrained), tmp_path, seed=5)
    pairs = zip(
        *(onnx.load(folder / "gdt.onnx").graph.initializer for folder in (untrained, tmp_path)),
        strict=True,
    )
    compared = 0
    for old, new in pairs:
        a, b = onnx.numpy_helper.to_array(old), onnx.numpy_helper.to_array(new)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if a.ndim >= 2 and a.dtype.kind == "f" and a.size > 200:
            compared += 1
            assert abs(float(np.corrcoef(a.ravel().astype("f8"), b.ravel().astype("f8"))[0, 1])) < 0.3
            np.testing.assert_allclose(b.std(), a.std(), rtol=0.25)
    assert compared >= 8
    ids = np.array([4, 4, 9]), np.array([10, 11, 12])
    plain = load(untrained).features_of_ids(*ids)
    redrawn = Scorer(twin, RuntimeSettings(provider="cpu")).features_of_ids(*ids)
    assert np.abs(plain["vvp"] - redrawn["vvp"]).max() > 1e-2


def test_degrees_and_cosines_against_loops(bench_data: dict[str, DataSet]) -> None:
    learn, data = bench_data["learn"], bench_data["test"]
    network = learn.networks["string", 500]
    found = controls.training_degree(learn, network, data, GeneNames([f"GENE{row}" for row in range(60)]))
    for s in (0, 7):
        for t in (3, 52, len(data.genes) - 1):
            out = sum(learn.genes[a].upper() == data.genes[data.sources[s]].upper() for a, _ in network.edges)
            into = sum(learn.genes[b].upper() == data.genes[t].upper() for _, b in network.edges)
            assert found[s, t] == pytest.approx(np.log1p(out) + np.log1p(into))
    own = controls.degree(data.networks["string", 1000], data)
    assert own.shape == (len(data.sources), len(data.genes))
    rng = np.random.default_rng(1)
    table, names = rng.normal(size=(60, 5)), GeneNames([f"GENE{row}" for row in range(60)])
    ids = known_ids(names, data)
    centred = table - table[ids[ids >= 0]].mean(0)
    cosine = controls.cosine(table, names, data)
    a, b = centred[ids[data.sources[2]]], centred[ids[9]]
    assert cosine[2, 9] == pytest.approx(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), rel=1e-4)
    assert np.isnan(cosine[:, ids < 0]).all()
    grams = controls.symbol_ngrams(data)
    place = {gene: index for index, gene in enumerate(data.genes)}
    row = data.rows[place["GENE1"]]
    assert grams[row, place["GENE10"]] > grams[row, place["GENE32"]]


def test_a_gene_is_seen_under_any_of_its_names(bench_data: dict[str, DataSet]) -> None:
    """Symbols in upper case and, across species and aliases, ids of the vocabulary."""
    learn, data = bench_data["learn"], bench_data["test"]
    network = replace(learn.networks["string", 500], edges=np.array([[1, 2]]))
    one, two = (learn.genes[place] for place in (1, 2))
    symbols = [f"GENE{row}" for row in range(60) if f"GENE{row}" != "GENE58"]
    names = GeneNames(symbols, {"GENE58": two})  # the test data set calls gene two Gene58 as well
    unseen = dict(zip(data.genes, controls.unseen(learn, network, data, names).tolist(), strict=True))
    assert not unseen[one]
    assert not unseen[two]
    assert not unseen["Gene58"]
    assert unseen["NOTKNOWN"]
    assert sum(not each for each in unseen.values()) == 3
    degrees = controls.training_degree(learn, network, data, names)
    place = list(data.genes).index("Gene58")
    assert degrees[0, place] == pytest.approx(np.log1p(1) + degrees[0].min())


@pytest.mark.slow
def test_attention_artifacts_give_the_attention(
    bench_data: dict[str, DataSet], backbone: MiniBackbone, tmp_path: Path
) -> None:
    """Against the softmax of a joint pass, written out for one target."""
    write_artifact(backbone, tmp_path / "attn", ExportSettings(readout="attn", context=("GENE3",)), Origin())
    artifact = open_artifact(tmp_path / "attn")
    found = predictions(
        artifact, RuntimeSettings(provider="cpu"), np.array([8]), np.array([[0.7]], "f4"), np.array([21])
    )
    genes, values = torch.tensor([8, 3, 21]), torch.tensor([0.7, 0.0, 0.0])
    with torch.no_grad():
        x = torch.cat([backbone.cls_token()[None], backbone.embed(genes, values)])
        paid = []
        for layer, _ in backbone.layers("token"):
            q, k, _ = layer.project(x)
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            scores[:, :3, 3] = -torch.inf  # nobody sees the target but itself
            weights = torch.softmax(scores, -1)
            paid.append(weights[:, 3, 1].mean())
            _, _, v = layer.project(x)
            x = layer.merge(x, weights @ v)
    assert float(found.squeeze()) == pytest.approx(float(torch.stack(paid).mean()), rel=1e-4)
