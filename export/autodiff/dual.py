"""A value and its tangent that pass through torch functions together.

`Dual` hands every torch function called on it to the rule registered for that function; the rules are in
`ugrn.export.autodiff.tangent`, which is also where to import `Dual` from. A plain tensor is a constant: its tangent is
zero. A torch function without a rule raises `UnsupportedFunctionError`; it is never treated as constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Rule = Callable[..., Any]
RULES: dict[Any, Rule] = {}
ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device"})


class UnsupportedFunctionError(TypeError):
    """A backbone called a torch function that has no tangent rule."""


class Dual:
    """A value and its tangent, both ``[...]`` of the same shape."""

    __slots__ = ("tangent", "value")

    def __init__(self, value: Tensor, tangent: Tensor) -> None:
        self.value = value
        self.tangent = tangent

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        rule = RULES.get(func)
        if rule is None:
            message = (
                f"no tangent rule for {_name(func)}; write the backbone with one of {', '.join(supported())}, "
                "or add a rule in ugrn.export.autodiff"
            )
            raise UnsupportedFunctionError(message)
        return rule(*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        # Reached only for what Dual itself lacks: the methods and attributes of a tensor.
        if name in ATTRIBUTES:
            return getattr(self.value, name)
        attribute = getattr(Tensor, name)
        if not callable(attribute):  # x.T, x.data, …: handing out the value alone would lose the tangent
            message = f"no tangent rule for the attribute Tensor.{name}; use a function, e.g. x.transpose(-2, -1)"
            raise UnsupportedFunctionError(message)
        return lambda *args, **kwargs: self.__torch_function__(attribute, (Dual,), (self, *args), kwargs)

    def __bool__(self) -> bool:
        message = "a Dual has no truth value: branch on .value, or use torch.where"
        raise UnsupportedFunctionError(message)


def _operator(name: str) -> Callable[..., Any]:
    function = getattr(Tensor, name)
    return lambda self, *args: Dual.__torch_function__(function, (Dual,), (self, *args))


# Python looks operators up on the class, so __getattr__ does not see them.
# Those without a rule (comparisons, powers, …) are there to say so.
for _each in (
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "matmul", "rmatmul", "neg", "getitem"),
    *("eq", "ne", "lt", "le", "gt", "ge", "pow", "rpow", "abs", "floordiv", "mod", "iadd", "imul", "setitem"),
):
    setattr(Dual, f"__{_each}__", _operator(f"__{_each}__"))


def split(x: Any) -> tuple[Tensor, Tensor | None]:
    """Value and tangent ``[...]`` of a `Dual`; a plain tensor or number comes back with ``None``."""
    return (x.value, x.tangent) if isinstance(x, Dual) else (x, None)


def rule(*functions: Any) -> Callable[[Rule], Rule]:
    """Register the decorated rule for some torch functions."""

    def register(each: Rule) -> Rule:
        for function in functions:
            RULES[function] = each
        return each

    return register


def supported() -> list[str]:
    """Names of the torch functions that have a rule."""
    return sorted({_name(function) for function in RULES})


def _name(function: Any) -> str:
    return torch.overrides.resolve_name(function) or str(getattr(function, "__name__", function))
