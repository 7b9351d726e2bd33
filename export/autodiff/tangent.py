"""Forward-mode differentiation of a backbone's ordinary forward code: one rule per torch function.

Handed a `Dual`, code written for plain tensors computes value and derivative side by side. Only ordinary
tensor operations run, so the result traces and exports like any forward pass, which `torch.func.jvp` does not.
The tangent is the derivative with respect to one scalar per row, the level of the source gene. The rules are
those of forward-mode automatic differentiation (Griewank and Walther, "Evaluating Derivatives", 2008,
chapter 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .dual import RULES, Dual, Rule, UnsupportedFunctionError, rule, split, supported

__all__ = ["Dual", "UnsupportedFunctionError", "split", "supported"]

# --- functions that are linear in their tensor argument: the tangent takes the same way ------------------


def _same_way(function: Any) -> Rule:
    def apply(x: Dual, *args: Any, **kwargs: Any) -> Dual:
        return Dual(function(x.value, *args, **kwargs), function(x.tangent, *args, **kwargs))

    return apply


SHAPES = ("reshape", "transpose", "permute", "unsqueeze", "squeeze", "flatten")
for _name in (*SHAPES, "sum", "mean", "neg", "index_select", "gather"):
    for _function in (getattr(torch, _name), getattr(Tensor, _name)):
        RULES[_function] = _same_way(_function)
for _function in (Tensor.expand, Tensor.view, Tensor.contiguous, Tensor.__getitem__, Tensor.__neg__):
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


# --- elementwise functions: tangent times derivative; at a kink, the derivative autograd uses -------------


def _elementwise(*functions: Any) -> Callable[[Callable[..., tuple[Tensor, Tensor]]], Rule]:
    """Register a function that gives (value, derivative) of a plain tensor."""

    def register(value_and_slope: Callable[..., tuple[Tensor, Tensor]]) -> Rule:
        def apply(x: Dual, *args: Any, **kwargs: Any) -> Dual:
            value, slope = value_and_slope(x.value, *args, **kwargs)
            return Dual(value, x.tangent * slope)

        return rule(*functions)(apply)

    return register


@rule(torch.relu, Tensor.relu, F.relu)
def _relu(x: Dual, inplace: bool = False) -> Dual:
    return Dual(torch.relu(x.value), torch.where(x.value > 0, x.tangent, torch.zeros((), dtype=x.value.dtype)))


@rule(F.leaky_relu)
def _leaky_relu(x: Dual, negative_slope: float = 0.01, inplace: bool = False) -> Dual:
    steep = torch.where(x.value > 0, x.tangent, x.tangent * negative_slope)
    return Dual(F.leaky_relu(x.value, negative_slope), steep)


@_elementwise(F.gelu)
def _gelu(x: Tensor, approximate: str = "none") -> tuple[Tensor, Tensor]:
    if approximate != "none":
        message = f"gelu(approximate={approximate!r}) has no tangent rule; only the exact form ('none') has"
        raise UnsupportedFunctionError(message)
    normal_cdf = 0.5 * (1.0 + torch.erf(x * math.sqrt(0.5)))
    normal_pdf = torch.exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))
    return x * normal_cdf, normal_cdf + x * normal_pdf


@_elementwise(torch.tanh, Tensor.tanh)
def _tanh(x: Tensor) -> tuple[Tensor, Tensor]:
    value = torch.tanh(x)
    return value, 1.0 - value * value


@_elementwise(torch.sigmoid, Tensor.sigmoid)
def _sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    value = torch.sigmoid(x)
    return value, value * torch.sigmoid(-x)


@_elementwise(torch.exp, Tensor.exp)
def _exp(x: Tensor) -> tuple[Tensor, Tensor]:
    value = torch.exp(x)
    return value, value


@_elementwise(torch.clamp, Tensor.clamp)
def _clamp(x: Tensor, min: float | None = None, max: float | None = None) -> tuple[Tensor, Tensor]:
    inside = torch.ones_like(x, dtype=torch.bool)
    if min is not None:
        inside = inside & (x >= min)
    if max is not None:
        inside = inside & (x <= max)
    return torch.clamp(x, min, max), inside.to(x.dtype)


@_elementwise(torch.log, Tensor.log)
def _log(x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.log(x), 1.0 / x


# --- normalisations ---------------------------------------------------------------------------------------


def _refuse_dtype(name: str, dtype: torch.dtype | None) -> None:
    if dtype is not None:
        message = f"{name}(dtype=...) has no tangent rule; convert before the call"
        raise UnsupportedFunctionError(message)


@rule(torch.softmax, Tensor.softmax, F.softmax)
def _softmax(x: Dual, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Dual:
    _refuse_dtype("softmax", dtype)
    weight = torch.softmax(x.value, dim)
    flow = weight * x.tangent
    return Dual(weight, flow - weight * flow.sum(dim, keepdim=True))


@rule(torch.log_softmax, Tensor.log_softmax, F.log_softmax)
def _log_softmax(x: Dual, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Dual:
    _refuse_dtype("log_softmax", dtype)
    value = torch.log_softmax(x.value, dim)
    return Dual(value, x.tangent - (torch.exp(value) * x.tangent).sum(dim, keepdim=True))


@rule(torch.amax, Tensor.amax)
def _amax(x: Dual, dim: int | tuple[int, ...], keepdim: bool = False) -> Dual:
    largest = torch.amax(x.value, dim, keepdim=True)
    share = (x.value == largest).to(x.value.dtype)  # equal ones share, as in autograd
    return Dual(torch.amax(x.value, dim, keepdim), (share * x.tangent).sum(dim, keepdim) / share.sum(dim, keepdim))


@rule(F.layer_norm)
def _layer_norm(
    x: Dual,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Dual:
    dims = tuple(range(-len(normalized_shape), 0))
    normal, _, scale = torch.native_layer_norm(x.value, list(normalized_shape), None, None, eps)
    value = normal if weight is None and bias is None else F.layer_norm(x.value, normalized_shape, weight, bias, eps)
    moved = x.tangent - x.tangent.mean(dims, keepdim=True)
    tangent = (moved - normal * (normal * x.tangent).mean(dims, keepdim=True)) * scale
    return Dual(value, tangent if weight is None else tangent * weight)
