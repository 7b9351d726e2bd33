"""The virtual cell against a plain joint forward pass built from torch's own transformer layers, in float64."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugrn.export.backbones.mini import MiniBackbone
from ugrn.export.graph.parity import autograd_reference
from ugrn.export.graph.probe import ProbeGraph, random_inputs

BASELINE = 0.25


@pytest.fixture(scope="module")
def double(backbone: MiniBackbone) -> MiniBackbone:
    return copy.deepcopy(backbone).double()


def stock_layers(backbone: MiniBackbone) -> list[nn.TransformerEncoderLayer]:
    """The backbone's weights in torch's own encoder layers."""
    layers = []
    for own, _ in backbone.layers("token"):
        layer = nn.TransformerEncoderLayer(
            backbone.config.width,
            backbone.config.heads,
            backbone.config.feedforward,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            dtype=torch.float64,
        )
        pairs = {
            "self_attn.in_proj_": own.qkv,
            "self_attn.out_proj.": own.out,
            "linear1.": own.expand,
            "linear2.": own.shrink,
            "norm1.": own.norm1,
            "norm2.": own.norm2,
        }
        state = {f"{k}{n}": getattr(m, n).detach() for k, m in pairs.items() for n in ("weight", "bias")}
        layer.load_state_dict(state)
        layers.append(layer.train())  # the training path has no fused shortcut; dropout is zero
    return layers


def joint(backbone: MiniBackbone, genes: list[int], values: Tensor, masked: int | None = None) -> Tensor:
    """One cell, all genes attending to all: the outputs ``[1 + N, d]``."""
    gene = backbone.genes(torch.tensor(genes))
    value = backbone.value2(F.gelu(backbone.value1(values[:, None])))
    tokens = gene + value + value * backbone.gate(gene)
    if masked is not None:
        tokens = torch.cat([tokens[:masked], (gene[masked] + backbone.mask)[None], tokens[masked + 1 :]])
    x = torch.cat([backbone.cls[None], tokens])[None]
    for layer in stock_layers(backbone):
        x = layer(x)
    return x[0]


def cell(context: list[int], values: list[float], source: int, level: Tensor) -> tuple[list[int], Tensor]:
    """Genes and values of a virtual cell whose source carries the level, in the context or beside it."""
    genes = list(context) if source in context else [source, *context]
    known = dict(zip(context, values, strict=True))
    return genes, torch.stack([level if g == source else torch.tensor(known[g], dtype=torch.float64) for g in genes])


def graph(backbone: MiniBackbone, readout: str, tangent: bool = True) -> ProbeGraph:
    return ProbeGraph(backbone, readout, BASELINE, tangent).eval()  # type: ignore[arg-type]


def run(module: ProbeGraph, context: list[int], values: list[float], s: list[int], levels: Tensor, q: list[int]):  # type: ignore[no-untyped-def]
    dtype = levels.dtype
    with torch.no_grad():
        return module(
            torch.tensor(context, dtype=torch.int64), torch.tensor(values, dtype=dtype), torch.tensor(s), levels,
            torch.tensor(q),
        )  # fmt: skip


@pytest.mark.parametrize("source", [4, 30], ids=["source in context", "source outside"])
def test_token_readout_equals_the_joint_pass(double: MiniBackbone, source: int) -> None:
    rng = np.random.default_rng(source)
    context = [2, 4, 9, 11, 17]
    values = rng.normal(size=5).tolist()
    targets = [9, 4, 17, source]
    levels = torch.from_numpy(rng.normal(size=(1, 3)))
    value, gradient = run(graph(double, "token"), context, values, [source], levels, targets)
    for k in range(3):
        level = levels[0, k].clone().requires_grad_()
        genes, carried = cell(context, values, source, level)
        outputs = double.decoder(joint(double, genes, carried))[:, 0]
        for place, target in enumerate(targets):
            if target not in genes:
                continue
            expected = outputs[1 + genes.index(target)]
            slope = torch.autograd.grad(expected, level, retain_graph=True)[0]
            torch.testing.assert_close(value[0, k, place], expected.detach(), rtol=0, atol=1e-10)
            torch.testing.assert_close(gradient[0, k, place], slope, rtol=0, atol=1e-10)


@pytest.mark.parametrize("context", [[], [4], [2, 4, 9]], ids=len)
def test_mvc_readout_equals_the_joint_pass(double: MiniBackbone, context: list[int]) -> None:
    values = np.linspace(-1, 1, len(context)).tolist()
    levels = torch.tensor([[0.3, -2.0]], dtype=torch.float64)
    value, gradient = run(graph(double, "mvc"), context, values, [4], levels, [4, 8, 59])
    for k in range(2):
        level = levels[0, k].clone().requires_grad_()
        genes, carried = cell(context, values, 4, level)
        cls = joint(double, genes, carried)[0]
        for place, target in enumerate([4, 8, 59]):
            query = double.cell_query(double.genes(torch.tensor(target))) / 4.0
            expected = cls @ query
            slope = torch.autograd.grad(expected, level, retain_graph=True)[0]
            torch.testing.assert_close(value[0, k, place], expected.detach(), rtol=0, atol=1e-10)
            torch.testing.assert_close(gradient[0, k, place], slope, rtol=0, atol=1e-10)


def test_token_outside_the_context_equals_a_query_that_nobody_sees(double: MiniBackbone) -> None:
    """Slow reference: a joint pass whose attention mask hides the asked token from all others."""
    context, values, source, target = [2, 9, 11], [0.5, -1.0, 2.0], 4, 33
    levels = torch.tensor([[1.5]], dtype=torch.float64)
    for readout in ("token", "masked"):
        value, _ = run(graph(double, readout), context, values, [source], levels, [target])
        genes, carried = cell(context, values, source, levels[0, 0])
        all_genes = [*genes, target]
        gene = double.genes(torch.tensor(all_genes))
        asked = torch.cat([carried, torch.tensor([BASELINE], dtype=torch.float64)])
        u = double.value2(F.gelu(double.value1(asked[:, None])))
        tokens = gene + u + u * double.gate(gene)
        if readout == "masked":
            tokens = torch.cat([tokens[:-1], (gene[-1] + double.mask)[None]])
        x = torch.cat([double.cls[None], tokens])[None]
        hide = torch.zeros(x.shape[1], x.shape[1], dtype=torch.bool)
        hide[:-1, -1] = True
        for layer in stock_layers(double):
            x = layer(x, src_mask=hide)
        torch.testing.assert_close(value[0, 0, 0], double.decoder(x[0, -1])[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("readout", ["mvc", "token", "masked"])
def test_a_pair_does_not_depend_on_the_others(backbone: MiniBackbone, readout: str) -> None:
    rng = np.random.default_rng(3)
    context, values, sources, levels, targets = random_inputs(60, (4, 5, 6, 20), rng, (-3, 5))
    module = graph(backbone, readout)
    whole = run(module, context.tolist(), values.tolist(), sources.tolist(), torch.from_numpy(levels), targets.tolist())
    order = rng.permutation(20)
    mixed = run(
        module, context.tolist(), values.tolist(), sources[::-1].tolist(), torch.from_numpy(levels[::-1].copy()),
        targets[order].tolist(),
    )  # fmt: skip
    for found, expected in zip(mixed, whole, strict=True):
        scale = expected.abs().max()
        assert ((found.flip(0) - expected[:, :, order]).abs().max() / scale) <= 1e-5
    for s in range(4):
        for q in (0, 7, 19):
            alone = run(
                module, context.tolist(), values.tolist(), [int(sources[s])], torch.from_numpy(levels[s : s + 1]),
                [int(targets[q])],
            )  # fmt: skip
            for found, expected in zip(alone, whole, strict=True):
                assert (found[0, :, 0] - expected[s, :, q]).abs().max() / expected.abs().max() <= 1e-5


@pytest.mark.parametrize("readout", ["mvc", "token", "masked"])
def test_gradient_equals_reverse_mode(double: MiniBackbone, readout: str) -> None:
    rng = np.random.default_rng(5)
    for shape in ((3, 4, 5, 7), (1, 1, 0, 1), (2, 3, 1, 9)):
        inputs = random_inputs(60, shape, rng, (-4, 6))
        value, gradient = autograd_reference(graph(double, readout, tangent=False), inputs)
        context, values, sources, levels, targets = (torch.from_numpy(a) for a in inputs)
        with torch.no_grad():
            found = graph(double, readout)(context, values.double(), sources, levels.double(), targets)
        np.testing.assert_allclose(found[0], value, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found[1], gradient, rtol=0, atol=1e-10)


@pytest.mark.parametrize("readout", ["mvc", "token", "masked"])
def test_integral_of_the_gradient_is_the_response(double: MiniBackbone, readout: str) -> None:
    fine = torch.linspace(-3, 5, 4001, dtype=torch.float64)[None]
    value, gradient = run(graph(double, readout), [2, 9], [0.1, -0.4], [4], fine, [2, 4, 30])
    integral = torch.trapezoid(gradient[0], fine[0], dim=0)
    torch.testing.assert_close(integral, value[0, -1] - value[0, 0], rtol=1e-5, atol=1e-6)


def test_value_graph_equals_the_value_of_the_gradient_graph(double: MiniBackbone) -> None:
    levels = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    for readout in ("mvc", "token"):
        (plain,) = run(graph(double, readout, tangent=False), [3], [1.0], [4], levels, [4, 5])
        value, _ = run(graph(double, readout), [3], [1.0], [4], levels, [4, 5])
        torch.testing.assert_close(plain, value, rtol=1e-12, atol=1e-12)
