"""Every tangent rule against float64 reverse-mode autograd and against torch.func.jvp."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ugrn.export.autodiff import dual
from ugrn.export.autodiff.tangent import Dual, UnsupportedFunctionError, split

D = torch.float64
A = torch.randn(4, 5, dtype=D, generator=torch.Generator().manual_seed(1))
W = torch.randn(3, 5, dtype=D, generator=torch.Generator().manual_seed(2))
B = torch.randn(3, dtype=D, generator=torch.Generator().manual_seed(3))
MASK = torch.rand(4, 5, generator=torch.Generator().manual_seed(4)) > 0.5
PLACES = torch.tensor([[0, 3, 1], [4, 2, 0], [1, 0, 2], [3, 4, 1]])
INDEX = torch.tensor([2, 0, 2])

# Functions of one [4, 5] tensor, covering every rule.
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "add": lambda x: (x + A) + (2.0 + x) + torch.add(A, x) + (x + x),
    "add, broadcast": lambda x: x[:1] + A,
    "radd of a tensor": lambda x: A + x,
    "sub": lambda x: (x - A) - (1.5 - x) + (A - x) - torch.sub(x, x * x),
    "mul": lambda x: x * A * x + 3.0 * x + torch.mul(A, x) + x.mul(A),
    "div": lambda x: x / (2.0 + x * x) + 1.0 / (3.0 + x * x) + A / (4.0 + x * x) + x / 7.0 + torch.div(x, 3.0),
    "neg": lambda x: -x + torch.neg(x),
    "matmul": lambda x: x @ A.T @ x + x.matmul(A.T) @ A + torch.matmul(A, x.transpose(0, 1)) @ A,
    "bmm": lambda x: torch.bmm(x.unsqueeze(0), A.T.unsqueeze(0)),
    "linear": lambda x: F.linear(x, W, B) + F.linear(x, W),
    "cat": lambda x: torch.cat([x, A, x * x], dim=1),
    "concat": lambda x: torch.concat([A, x], dim=0),
    "where": lambda x: torch.where(MASK, x, A) + torch.where(MASK, A, x * x) + torch.where(MASK, x, x * x),
    "where, broadcast": lambda x: torch.where(MASK, x[:, :1], A) + torch.where(MASK, A, x[:1]),
    "masked_fill": lambda x: x.masked_fill(MASK, 3.0) * x + torch.masked_fill(x, MASK, -1.0),
    "reshape": lambda x: x.reshape(2, 10) @ torch.ones(10, 2, dtype=D) + torch.reshape(x, (10, 2))[:2],
    "flatten": lambda x: x.flatten() * A.flatten() + torch.flatten(x),
    "view": lambda x: x.view(20) * A.view(20),
    "transpose": lambda x: x.transpose(0, 1) @ A + torch.transpose(x, 0, 1) @ x,
    "permute": lambda x: x.permute(1, 0) @ A + torch.permute(x, (1, 0)) @ A,
    "unsqueeze": lambda x: x.unsqueeze(1).squeeze(1) * A + torch.squeeze(torch.unsqueeze(x, 0), 0),
    "expand": lambda x: x[:, :1].expand(4, 5) * A,
    "contiguous": lambda x: x.transpose(0, 1).contiguous() @ A,
    "sum": lambda x: x.sum(1) + torch.sum(x * x, dim=1) + x.sum(-1, keepdim=True),
    "mean": lambda x: x.mean(0) * A + torch.mean(x * x, dim=1, keepdim=True),
    "index_select": lambda x: torch.index_select(x, 1, INDEX) + x.index_select(1, INDEX),
    "getitem": lambda x: x[:, 1:3] * x[..., -2:],
    "dropout, off": lambda x: F.dropout(x, 0.5, training=False) * A,
    "relu": lambda x: F.relu(x) + torch.relu(x * A) + x.relu(),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2) + F.leaky_relu(x),
    "gelu": lambda x: F.gelu(x),
    "tanh": lambda x: torch.tanh(x) + x.tanh() + F.tanh(x),
    "sigmoid": lambda x: torch.sigmoid(x) * x.sigmoid() + F.sigmoid(x),
    "exp": lambda x: torch.exp(-x * x) + (0.01 * x).exp(),
    "clamp": lambda x: x.clamp(-0.5, 0.7) + torch.clamp(x, max=0.2) + x.clamp(min=0.1),
    "softmax": lambda x: F.softmax(x, dim=-1) + torch.softmax(x * A, dim=0) + x.softmax(1),
    "softmax, masked": lambda x: F.softmax(x.masked_fill(MASK & (A < 2), -math.inf)[:, :], dim=0)[:, 1:2],
    "log": lambda x: torch.log(1.0 + x * x) + (2.0 + x * x).log(),
    "log_softmax": lambda x: F.log_softmax(x, dim=-1) + torch.log_softmax(x * A, dim=0) + x.log_softmax(1),
    "amax": lambda x: torch.amax(x, -1, keepdim=True) * A + x.amax(0) + torch.amax(x, (0, 1)),
    "scatter": lambda x: (
        torch.scatter(A, 1, PLACES, x[:, :3])
        + x.scatter(1, PLACES, A[:, :3])
        + torch.scatter(x, 1, PLACES, x[:, 2:] * x[:, 2:])
    ),
    "gather": lambda x: torch.gather(x, 1, PLACES) * x.gather(1, PLACES + 0),
    "detach": lambda x: x * (x * x).detach(),
    "layer_norm": lambda x: F.layer_norm(x, (5,), A[0], A[1]) + F.layer_norm(x * A, (5,), eps=1e-12),
    "layer_norm, two axes": lambda x: F.layer_norm(x, (4, 5)),
}
POINTS = {
    "random": torch.randn(4, 5, dtype=D, generator=torch.Generator().manual_seed(5)),
    "large": torch.randn(4, 5, dtype=D, generator=torch.Generator().manual_seed(6)) * 1e3,
    "tiny": torch.randn(4, 5, dtype=D, generator=torch.Generator().manual_seed(7)) * 1e-9,
    "kinks": torch.tensor([-0.5, 0.0, 0.7, 0.2, 0.1], dtype=D).repeat(4, 1),
}


def directional(function: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor) -> Tensor:
    """The derivative along `direction` by reverse mode: one backward pass per output entry."""
    x = x.clone().requires_grad_()
    out = function(x)
    entries = [
        (torch.autograd.grad(entry, x, retain_graph=True)[0] * direction).sum() if entry.requires_grad else entry * 0
        for entry in out.flatten()
    ]
    return torch.stack(entries).reshape(out.shape).detach()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_rule_agrees_with_reverse_mode_and_jvp(name: str, point: str) -> None:
    function, x = FUNCTIONS[name], POINTS[point]
    if name == "softmax, masked" and bool((MASK & (A < 2)).all(0).any()):
        pytest.fail("the mask hides a whole column: choose another")
    direction = torch.randn(4, 5, dtype=D)
    value, derivative = split(function(Dual(x, direction)))  # type: ignore[arg-type]
    assert derivative is not None
    torch.testing.assert_close(value, function(x), rtol=1e-12, atol=1e-12)
    expected = directional(function, x, direction)
    torch.testing.assert_close(derivative, expected, rtol=1e-8, atol=1e-10)
    _, forward = torch.func.jvp(function, (x,), (direction,))
    torch.testing.assert_close(derivative, forward, rtol=1e-8, atol=1e-10)


def test_every_rule_is_exercised_above(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[object] = set()

    class Recording(dict):  # type: ignore[type-arg]
        def get(self, key: object, default: object = None) -> object:
            seen.add(key)
            return super().get(key, default)

    monkeypatch.setattr(dual, "RULES", Recording(dual.RULES))
    for function in FUNCTIONS.values():
        function(Dual(POINTS["random"], A))  # type: ignore[arg-type]
    assert {torch.overrides.resolve_name(f) for f in dual.RULES} - {
        torch.overrides.resolve_name(f) for f in seen
    } == set()


@pytest.mark.parametrize("name", ["cumsum", "sort", "median", "atan2"])
def test_unknown_function_is_an_error_that_names_it(name: str) -> None:
    x = Dual(A, A)
    with pytest.raises(UnsupportedFunctionError, match=name):
        getattr(torch, name)(x, *([A] if name == "atan2" else [0] if name != "median" else []))


def test_unknown_method_is_an_error_that_names_it() -> None:
    with pytest.raises(UnsupportedFunctionError, match="cumsum"):
        Dual(A, A).cumsum(0)


@pytest.mark.parametrize("use", [lambda x: x.T, lambda x: x.data, lambda x: x == 0, lambda x: x**2, lambda x: x > 0])
def test_nothing_hands_out_the_value_without_its_tangent(use: Callable[[Any], object]) -> None:
    with pytest.raises(UnsupportedFunctionError, match="no tangent rule"):
        use(Dual(A, A))


def test_softmax_in_another_dtype_is_refused() -> None:
    with pytest.raises(UnsupportedFunctionError, match="dtype"):
        F.softmax(Dual(A, A), dim=0, dtype=torch.float32)  # type: ignore[arg-type]


def test_tanh_gelu_approximation_is_refused() -> None:
    with pytest.raises(UnsupportedFunctionError, match="tanh"):
        F.gelu(Dual(A, A), approximate="tanh")  # type: ignore[arg-type]


def test_active_dropout_is_refused() -> None:
    with pytest.raises(UnsupportedFunctionError, match="eval"):
        F.dropout(Dual(A, A), 0.1, training=True)  # type: ignore[arg-type]


def test_branching_on_a_dual_is_refused() -> None:
    with pytest.raises(UnsupportedFunctionError, match="truth value"):
        bool(Dual(A, A))


def test_attributes_of_the_value_show_through() -> None:
    x = Dual(A, A)
    assert (x.shape, x.dtype, x.ndim, x.device) == (A.shape, A.dtype, A.ndim, A.device)
