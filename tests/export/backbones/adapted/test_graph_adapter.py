"""Message passing and fusion against plain float64 loops."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ugrn.export.backbones.adapted.graph_adapter import (
    AdapterConfig,
    EdgeTensors,
    GraphAdapter,
    GraphSAGE,
    neighbour_mean,
)
from ugrn.export.graph.tracing import quiet

GENES, EDGES, CELLS = 9, 30, 3


def some_edges(random: np.random.Generator, weights: str = "none") -> EdgeTensors:
    """Edges, some of them there twice; genes 7 and 8 have none. Weights: none, one, or per cell."""
    ends = [torch.from_numpy(random.integers(0, 7, EDGES)) for _ in range(2)]
    shape = {"none": None, "one": (EDGES,), "per cell": (CELLS, EDGES)}[weights]
    found = None if shape is None else torch.from_numpy(random.uniform(0.1, 2, shape))
    return EdgeTensors(ends[0], ends[1], found)


def normal(random: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(random.normal(size=shape))


def plain_mean(x: Tensor, read: list[int], write: list[int], weights: list[float]) -> Tensor:
    """``[G, s]`` for one cell, edge by edge."""
    rows = []
    for gene in range(len(x)):
        mine = [edge for edge, to in enumerate(write) if to == gene and weights[edge] > 0]
        total = sum(weights[edge] for edge in mine)
        rows.append(sum((weights[edge] * x[read[edge]] for edge in mine), torch.zeros_like(x[0])) / (total or 1.0))
    return torch.stack(rows)


@pytest.mark.parametrize("weights", ["none", "one", "per cell"])
@pytest.mark.parametrize("cells", [False, True])
def test_neighbour_mean_against_a_plain_loop(random: np.random.Generator, weights: str, cells: bool) -> None:
    edges = some_edges(random, weights)
    x = normal(random, *((CELLS,) if cells else ()), GENES, 4)
    found = neighbour_mean(x, edges.targets, edges.sources, edges.weights)
    for cell in range(CELLS):
        own = x[cell] if cells else x
        each = {"none": torch.ones(EDGES), "one": edges.weights, "per cell": None}[weights]
        weight = cast(Tensor, edges.weights)[cell] if each is None else each
        expected = plain_mean(own, edges.targets.tolist(), edges.sources.tolist(), weight.tolist())
        torch.testing.assert_close(found[cell] if found.dim() == 3 else found, expected, rtol=0, atol=1e-12)


def test_edges_that_count_nothing_are_no_edges(random: np.random.Generator) -> None:
    edges = some_edges(random, "per cell")
    weights = cast(Tensor, edges.weights)
    weights[:, EDGES // 2 :] = 0.0
    x = normal(random, GENES, 4)
    fewer = [edges.targets[: EDGES // 2], edges.sources[: EDGES // 2], weights[:, : EDGES // 2]]
    torch.testing.assert_close(
        neighbour_mean(x, edges.targets, edges.sources, weights), neighbour_mean(x, *fewer), rtol=0, atol=1e-12
    )


def plain_sage(module: GraphSAGE, x: Tensor, sources: list[int], targets: list[int], weights: list[float]) -> Tensor:
    """GraphSAGE of one cell, gene by gene."""
    for own, down, up in zip(module.own, module.of_targets, module.of_regulators, strict=True):
        of_targets = plain_mean(x, targets, sources, weights)
        of_regulators = plain_mean(x, sources, targets, weights)
        rows = []
        for gene in range(len(x)):
            row = own.weight @ x[gene] + own.bias + down.weight @ of_targets[gene] + up.weight @ of_regulators[gene]  # type: ignore[operator]
            row = row.clamp(min=0)
            rows.append(row / max(math.sqrt(float((row**2).sum())), 1e-12))
        x = torch.stack(rows)
    return x


@pytest.mark.parametrize("weights", ["none", "one", "per cell"])
def test_graphsage_against_a_plain_loop(random: np.random.Generator, weights: str) -> None:
    module = GraphSAGE(5, 2).double().requires_grad_(False)
    edges, x = some_edges(random, weights), normal(random, GENES, 5)
    found = module(x, edges)
    for cell in range(CELLS if weights == "per cell" else 1):
        mine = torch.ones(EDGES) if edges.weights is None else edges.weights.reshape(-1, EDGES)[cell]
        expected = plain_sage(module, x, edges.sources.tolist(), edges.targets.tolist(), mine.tolist())
        torch.testing.assert_close(found[cell] if found.dim() == 3 else found, expected, rtol=0, atol=1e-12)


def test_the_order_of_edges_does_not_matter_and_directions_do(random: np.random.Generator) -> None:
    adapter = GraphAdapter(AdapterConfig(6, 5, 8, 2, 2, 2)).double()
    x = normal(random, GENES, 5)
    nets = [some_edges(random, "one"), some_edges(random)]
    order = torch.from_numpy(random.permutation(EDGES))
    mixed = [
        EdgeTensors(each.sources[order], each.targets[order], None if each.weights is None else each.weights[order])
        for each in nets
    ]
    found = adapter.structures(x, nets)
    torch.testing.assert_close(adapter.structures(x, mixed), found, rtol=0, atol=1e-12)
    turned = [EdgeTensors(each.targets, each.sources, each.weights) for each in nets]
    assert (adapter.structures(x, turned) - found).abs().max() > 1e-3


def test_structures_of_several_networks_are_summed(random: np.random.Generator) -> None:
    adapter = GraphAdapter(AdapterConfig(6, 5, 8, 2, 2, 2)).double()
    x, nets = normal(random, GENES, 5), [some_edges(random), some_edges(random, "per cell")]
    first, second = (graph(adapter.enter(x), each) for graph, each in zip(adapter.graphs, nets, strict=True))
    found = adapter.structures(x, nets)
    assert found.shape == (CELLS, GENES, 8)
    torch.testing.assert_close(found, first + second, rtol=0, atol=1e-12)


def test_genes_without_an_edge_get_a_structure_of_their_own_token(random: np.random.Generator) -> None:
    adapter = GraphAdapter(AdapterConfig(6, 5, 8, 2)).double()
    x = normal(random, GENES, 5)
    none = torch.zeros(0, dtype=torch.int64)
    alone = adapter.structures(x, [EdgeTensors(none, none)])
    some = adapter.structures(x, [some_edges(random)])
    torch.testing.assert_close(some[7:], alone[7:], rtol=0, atol=1e-12)
    assert torch.isfinite(alone).all()


def ready(random: np.random.Generator, width: int = 6) -> GraphAdapter:
    adapter = GraphAdapter(AdapterConfig(width, 5, 8, 2)).double().requires_grad_(False)
    with torch.no_grad():
        adapter.beta.fill_(0.7)
        adapter.nobody.copy_(normal(random, 8))
    return adapter


def test_fusion_against_plain_loops(random: np.random.Generator) -> None:
    adapter, heads, width = ready(random), 2, 8
    tokens, structures = normal(random, CELLS, 4, 6), normal(random, CELLS, 5, width)
    hidden = torch.from_numpy(random.random((CELLS, 5)) < 0.4)
    found = adapter.fuse(tokens, structures, hidden)
    wq, wk, wv, wo = (getattr(adapter, name).weight for name in ("query", "key", "value", "out"))
    for cell in range(CELLS):
        seen = [adapter.nobody, *(row for row, gone in zip(structures[cell], hidden[cell], strict=True) if not gone)]
        for place in range(4):
            joined = []
            for head in range(heads):
                part = slice(head * width // heads, (head + 1) * width // heads)
                query = (wq @ tokens[cell, place] + adapter.query.bias)[part]
                scores = [float(query @ (wk @ each)[part]) / math.sqrt(width // heads) for each in seen]
                weights = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
                joined.append(sum(weight * (wv @ each)[part] for weight, each in zip(weights, seen, strict=True)))
            expected = tokens[cell, place] + 0.7 * wo @ torch.cat(cast(Any, joined))
            torch.testing.assert_close(found[cell, place], expected, rtol=0, atol=1e-10)


def test_hidden_structures_do_not_matter(random: np.random.Generator) -> None:
    adapter = ready(random)
    tokens, structures = normal(random, CELLS, 4, 6), normal(random, CELLS, 5, 8)
    hidden = torch.zeros(CELLS, 5, dtype=torch.bool)
    hidden[:, 2] = True
    found = adapter.fuse(tokens, structures, hidden)
    other = structures.clone()
    other[:, 2] = 100 * normal(random, 8)
    torch.testing.assert_close(adapter.fuse(tokens, other, hidden), found, rtol=0, atol=1e-12)
    without = adapter.fuse(tokens, structures[:, [0, 1, 3, 4]])
    torch.testing.assert_close(without, found, rtol=0, atol=1e-12)
    assert (adapter.fuse(tokens, other) - found).abs().max() > 1e-3
    shared = adapter.fuse(tokens, structures[:1])
    torch.testing.assert_close(shared[1], adapter.fuse(tokens[1:2], structures[:1])[0], rtol=0, atol=1e-12)
    shared = adapter.fuse(tokens, structures[:1], hidden)
    alone = adapter.fuse(tokens[1:2], structures[:1], hidden[1:2])
    torch.testing.assert_close(shared[1], alone[0], rtol=0, atol=1e-12)


def test_an_untrained_adapter_gives_back_the_tokens(random: np.random.Generator) -> None:
    adapter = GraphAdapter(AdapterConfig(6, 5, 8, 2))
    tokens, structures = normal(random, CELLS, 4, 6).float(), normal(random, CELLS, 5, 8).float()
    assert torch.equal(adapter.fuse(tokens, structures), tokens)


class Passing(nn.Module):
    """Structures of fixed genes from edges that are given."""

    def __init__(self, adapter: GraphAdapter, genes: Tensor) -> None:
        super().__init__()
        self.adapter = adapter
        self.register_buffer("genes", genes)

    def forward(self, sources: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return self.adapter.structures(cast(Tensor, self.genes), [EdgeTensors(sources, targets, weights)])


@pytest.mark.slow
def test_message_passing_exports_with_any_number_of_edges(tmp_path: Path, random: np.random.Generator) -> None:
    module = Passing(GraphAdapter(AdapterConfig(6, 5, 8, 2)), normal(random, GENES, 5).float()).eval()

    def inputs(edges: int) -> tuple[Tensor, Tensor, Tensor]:
        ends = torch.from_numpy(random.integers(0, GENES, (2, edges)))
        return ends[0], ends[1], torch.from_numpy(random.uniform(0, 1, edges).astype(np.float32))

    edges = torch.export.Dim("E", min=2)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module, inputs(7), dynamo=True, dynamic_shapes=({0: edges},) * 3, opset_version=20, verbose=False
        )
        cast(Any, program).save(tmp_path / "passing.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "passing.onnx", providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    for count in (2, 25, 400):
        given = inputs(count)
        found = session.run(None, dict(zip(names, (each.numpy() for each in given), strict=True)))[0]
        with torch.no_grad():
            np.testing.assert_allclose(found, module(*given).numpy(), rtol=0, atol=1e-5)
