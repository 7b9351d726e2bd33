"""Random checkpoints and slow references that several families share; nothing here comes from the product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugrn.export.graph.probe import Probe, random_inputs

State = dict[str, Tensor]
Reference = Callable[[list[int], list[float], int, Tensor, int], Tensor]


def linear(state: State, name: str, out: int, width: int, bias: bool = True, scale: float = 0.3) -> None:
    state[f"{name}.weight"] = torch.randn(out, width) * scale
    if bias:
        state[f"{name}.bias"] = torch.randn(out) * scale


def norm(state: State, name: str, width: int) -> None:
    state[f"{name}.weight"] = 1 + 0.2 * torch.randn(width)
    state[f"{name}.bias"] = 0.2 * torch.randn(width)


def stock_layer(state: State, at: str, width: int, feedforward: int) -> None:
    """Keys of torch's own nn.TransformerEncoderLayer."""
    state[f"{at}self_attn.in_proj_weight"] = torch.randn(3 * width, width) * 0.4
    state[f"{at}self_attn.in_proj_bias"] = torch.randn(3 * width) * 0.2
    linear(state, f"{at}self_attn.out_proj", width, width)
    linear(state, f"{at}linear1", feedforward, width)
    linear(state, f"{at}linear2", width, feedforward)
    norm(state, f"{at}norm1", width)
    norm(state, f"{at}norm2", width)


def load_stock(state: State, at: str, heads: int, eps: float = 1e-5) -> nn.TransformerEncoderLayer:
    feedforward, width = state[f"{at}linear1.weight"].shape
    layer = nn.TransformerEncoderLayer(width, heads, feedforward, 0.0, "relu", eps, batch_first=True).double()
    layer.load_state_dict({name: state[at + name] for name in layer.state_dict()})
    return layer.train()  # the training path has no fused shortcut; dropout is zero


def performer_layer(state: State, at: str, width: int, inner: int, features: int, head: int, bias: bool) -> None:
    """Keys of a layer of the performer-pytorch package."""
    norm(state, f"{at}0.norm", width)
    norm(state, f"{at}1.norm", width)
    for name in ("to_q", "to_k", "to_v"):
        linear(state, f"{at}0.fn.{name}", inner, width, bias)
    linear(state, f"{at}0.fn.to_out", width, inner)
    state[f"{at}0.fn.fast_attention.projection_matrix"] = torch.randn(features, head)
    linear(state, f"{at}1.fn.fn.w1", 4 * width, width)
    linear(state, f"{at}1.fn.fn.w2", width, 4 * width)


def lin(s: State, x: Tensor, name: str) -> Tensor:
    return F.linear(x, s[f"{name}.weight"], s.get(f"{name}.bias"))


def ln(s: State, x: Tensor, name: str, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], s[f"{name}.weight"], s[f"{name}.bias"], eps)


def performer(
    s: State, at: str, x: Tensor, heads: int, asked: Tensor | None = None, own: int = -1
) -> tuple[Tensor, Any]:
    """One cell ``[N, d]`` through a Performer layer, attention weights written out for every pair of tokens; and a
    token ``[d]`` that nobody sees and that stands in for token `own`."""

    def kernel(y: Tensor, stabiliser: Tensor | None) -> tuple[Tensor, Tensor]:
        width = y.shape[-1]
        dash = (y * width**-0.25) @ s[f"{at}0.fn.fast_attention.projection_matrix"].T
        top = dash.max(-1, keepdim=True).values if stabiliser is None else stabiliser
        square = (y**2).sum(-1, keepdim=True) / 2 * width**-0.5
        return (torch.exp(dash - square - top) + 1e-4) / dash.shape[-1] ** 0.5, dash

    def split(y: Tensor) -> Tensor:
        return y.reshape(*y.shape[:-1], heads, -1).transpose(0, 1)

    normal = ln(s, x, f"{at}0.norm")
    q, k, v = (split(lin(s, normal, f"{at}0.fn.{name}")) for name in ("to_q", "to_k", "to_v"))
    stabiliser = kernel(k, torch.zeros(()).double())[1].max()
    key = kernel(k, stabiliser)[0]
    query = kernel(q, None)[0]
    if len(x) < 1000:
        weight = query @ key.transpose(1, 2)  # [H, N, N]
        attended = weight / weight.sum(-1, keepdim=True) @ v
    else:
        parts = [query[h] @ (key[h].T @ v[h]) / (query[h] @ key[h].sum(0))[:, None] for h in range(len(query))]
        attended = torch.stack(parts)

    def feed(y: Tensor, out: Tensor) -> Tensor:
        y = y + lin(s, out.transpose(0, 1).reshape(len(y), -1), f"{at}0.fn.to_out")
        hidden = F.gelu(lin(s, ln(s, y, f"{at}1.norm"), f"{at}1.fn.fn.w1"))
        return y + lin(s, hidden, f"{at}1.fn.fn.w2")

    if asked is None:
        return feed(x, attended), None
    mine = ln(s, asked[None], f"{at}0.norm")
    aq, ak, av = (split(lin(s, mine, f"{at}0.fn.{name}")) for name in ("to_q", "to_k", "to_v"))
    keep = [row for row in range(len(x)) if row != own]
    keys = torch.cat([key[:, keep], kernel(ak, stabiliser)[0]], 1)
    values = torch.cat([v[:, keep], av], 1)
    share = kernel(aq, None)[0] @ keys.transpose(1, 2)
    return feed(x, attended), feed(asked[None], share / share.sum(-1, keepdim=True) @ values)[0]


def check(
    backbone: Any,
    readout: str,
    reference: Reference,
    levels: tuple[float, float],
    baseline: float,
    seed: int = 0,
    rtol: float = 1e-5,
    silent: bool = False,
    shape: tuple[int, int, int, int] = (3, 2, 4, 5),
    central: bool = False,
) -> None:
    """The graph's values and gradients against a reference, cell by cell and target by target in float64.

    Among the targets are the source, another source, and a gene of the context; with `silent`, another gene of the
    context has the value 0. The reference's gradient is reverse-mode autograd, or a central difference with `central`,
    where a whole genome's graph would not fit into memory.
    """
    genes = len(backbone.symbols)
    context, values, sources, grid, targets = random_inputs(genes, shape, np.random.default_rng(seed), levels)
    if silent:
        values[2] = 0.0
    others = [t for t in targets.tolist() if t not in (sources[-1], context[1])]
    targets = np.array(list(dict.fromkeys([sources[0], sources[-1], context[1], *others[1:]]))[: shape[3]])
    module = Probe(backbone, readout, baseline).module(True, double=True)  # type: ignore[arg-type]
    arrays = (context, values.astype(float), sources, grid.astype(float), targets)
    with torch.no_grad():
        value, gradient = module(*[torch.from_numpy(each) for each in arrays])
    slope_of = _difference if central else _backward
    for s, source in enumerate(sources.tolist()):
        for k in range(grid.shape[1]):
            for q, target in enumerate(targets.tolist()):
                cells = (context.tolist(), values.tolist(), source)
                expected, slope = slope_of(lambda level: reference(*cells, level, target), float(grid[s, k]))  # noqa: B023
                torch.testing.assert_close(value[s, k, q], expected, rtol=rtol, atol=1e-6)
                torch.testing.assert_close(gradient[s, k, q], slope, rtol=20 * rtol, atol=1e-6)


def _backward(function: Callable[[Tensor], Tensor], at: float) -> tuple[Tensor, Tensor]:
    level = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    value = function(level)
    slope = torch.autograd.grad(value, level, allow_unused=True)[0]
    return value.detach(), torch.zeros_like(level) if slope is None else slope


def _difference(function: Callable[[Tensor], Tensor], at: float, step: float = 1e-5) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        low, middle, high = (function(torch.tensor(at + d * step, dtype=torch.float64)) for d in (-1, 0, 1))
    return middle, (high - low) / (2 * step)


def remembered(whole: Callable[[list[int], list[float], int, Tensor], Tensor]) -> Reference:
    """A reference from a function that gives all genes at once; without a gradient to keep, run once per cell."""
    known: dict[tuple[int, float], Tensor] = {}

    def reference(context: list[int], values: list[float], source: int, level: Tensor, target: int) -> Tensor:
        if level.requires_grad:
            return whole(context, values, source, level)[target]
        key = (source, float(level))
        if key not in known:
            known[key] = whole(context, values, source, level)
        return known[key][target]

    return reference


def tame(state: State) -> None:
    """Shrink matrices in place so that wide layers of them keep the scale of their input."""
    for name, tensor in state.items():
        if tensor.dim() == 2 and "emb" not in name and "projection" not in name:
            tensor *= (16 / max(tensor.shape[1], 16)) ** 0.5


def cell(context: list[int], values: list[float], source: int, level: Tensor) -> dict[int, Tensor]:
    """Gene -> value of a virtual cell whose source carries the level, in the context or beside it."""
    found = {gene: torch.tensor(value, dtype=torch.float64) for gene, value in zip(context, values, strict=True)}
    return {**found, source: level}
