"""Tangent rules of functions that are linear in a tensor, and of arithmetic with two arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .dual import RULES, Dual, Rule, UnsupportedFunctionError, rule, split

# --- functions that are linear in their tensor argument: the tangent takes the same way ------------------


def _same_way(function: Any) -> Rule:
    def apply(x: Dual, *args: Any, **kwargs: Any) -> Dual:
        return Dual(function(x.value, *args, **kwargs), function(x.tangent, *args, **kwargs))

    return apply


for _name in (
    "reshape",
    "transpose",
    "permute",
    "unsqueeze",
    "squeeze",
    "flatten",
    "sum",
    "mean",
    "index_select",
    "gather",
):
    for _function in (getattr(torch, _name), getattr(Tensor, _name)):
        RULES[_function] = _same_way(_function)
for _function in (
    Tensor.expand,
    Tensor.view,
    Tensor.contiguous,
    Tensor.__getitem__,
    torch.neg,
    Tensor.neg,
    Tensor.__neg__,
):
    RULES[_function] = _same_way(_function)


@rule(F.dropout)
def _dropout(x: Dual, p: float = 0.5, training: bool = True, inplace: bool = False) -> Dual:
    if training and p > 0:
        message = "dropout is active: call .eval() on the backbone before probing it"
        raise UnsupportedFunctionError(message)
    return x


@rule(F.linear)
def _linear(x: Dual, weight: Tensor, bias: Tensor | None = None) -> Dual:
    return Dual(F.linear(x.value, weight, bias), F.linear(x.tangent, weight))


@rule(torch.cat, torch.concat)
def _cat(tensors: Sequence[Any], dim: int = 0) -> Dual:
    pairs = [split(x) for x in tensors]
    tangents = [torch.zeros_like(value) if tangent is None else tangent for value, tangent in pairs]
    return Dual(torch.cat([value for value, _ in pairs], dim), torch.cat(tangents, dim))


@rule(torch.where)
def _where(condition: Tensor, x: Any, y: Any) -> Dual:
    (xv, xt), (yv, yt) = split(x), split(y)
    value = torch.where(condition, xv, yv)
    zero = torch.zeros((), dtype=value.dtype)
    tangent = torch.where(condition, zero if xt is None else xt, zero if yt is None else yt)
    return Dual(value, _broadcast(tangent, value))


@rule(torch.scatter, Tensor.scatter)
def _scatter(x: Any, dim: int, index: Tensor, src: Any) -> Dual:
    (xv, xt), (sv, st) = split(x), split(src)
    xt, st = (torch.zeros_like(v) if t is None else t for v, t in ((xv, xt), (sv, st)))
    return Dual(torch.scatter(xv, dim, index, sv), torch.scatter(xt, dim, index, st))


@rule(Tensor.detach)
def _detach(x: Dual) -> Tensor:
    """A constant, as in autograd."""
    return x.value


@rule(torch.masked_fill, Tensor.masked_fill)
def _masked_fill(x: Dual, mask: Tensor, value: float) -> Dual:
    return Dual(x.value.masked_fill(mask, value), x.tangent.masked_fill(mask, 0.0))


# --- arithmetic with two arguments, either of which may be a constant -------------------------------------


def _broadcast(tangent: Tensor, value: Tensor) -> Tensor:
    return tangent if tangent.shape == value.shape else tangent.expand(value.shape)


@rule(torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__)
def _add(x: Any, y: Any) -> Dual:
    (xv, xt), (yv, yt) = split(x), split(y)
    value = xv + yv
    if xt is not None and yt is not None:
        return Dual(value, xt + yt)
    return Dual(value, _broadcast(cast(Tensor, yt if xt is None else xt), value))


@rule(torch.sub, Tensor.sub, Tensor.__sub__)
def _sub(x: Any, y: Any) -> Dual:
    return cast(Dual, _add(x, -y))


RULES[Tensor.__rsub__] = lambda x, y: _sub(y, x)


def _product(multiply: Callable[[Any, Any], Tensor], x: Any, y: Any) -> Dual:
    """Product rule for any bilinear `multiply`."""
    (xv, xt), (yv, yt) = split(x), split(y)
    value = multiply(xv, yv)
    if xt is None:
        return Dual(value, multiply(xv, yt))
    if yt is None:
        return Dual(value, multiply(xt, yv))
    return Dual(value, multiply(xt, yv) + multiply(xv, yt))


@rule(torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__)
def _mul(x: Any, y: Any) -> Dual:
    return _product(lambda a, b: a * b, x, y)


@rule(torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm)
def _matmul(x: Any, y: Any) -> Dual:
    return _product(torch.matmul, x, y)


@rule(torch.div, Tensor.div, Tensor.__truediv__)
def _div(x: Any, y: Any) -> Dual:
    (xv, xt), (yv, yt) = split(x), split(y)
    value = xv / yv
    if yt is None:
        return Dual(value, cast(Tensor, xt) / yv)
    carried = value * yt
    return Dual(value, (-carried if xt is None else xt - carried) / yv)


RULES[Tensor.__rtruediv__] = lambda x, y: _div(y, x)
