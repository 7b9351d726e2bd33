"""Tangent rules of elementwise functions and of normalisations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .dual import Dual, Rule, UnsupportedFunctionError, rule

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


@rule(torch.softmax, Tensor.softmax, F.softmax)
def _softmax(x: Dual, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Dual:
    if dtype is not None:
        message = "softmax(dtype=...) has no tangent rule; convert before the call"
        raise UnsupportedFunctionError(message)
    weight = torch.softmax(x.value, dim)
    flow = weight * x.tangent
    return Dual(weight, flow - weight * flow.sum(dim, keepdim=True))


@rule(torch.log_softmax, Tensor.log_softmax, F.log_softmax)
def _log_softmax(x: Dual, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Dual:
    if dtype is not None:
        message = "log_softmax(dtype=...) has no tangent rule; convert before the call"
        raise UnsupportedFunctionError(message)
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
