"""Forward-mode differentiation of a backbone's ordinary forward code: one rule per torch function.

Handed a `Dual`, code written for plain tensors computes value and derivative side by side. Only ordinary
tensor operations run, so the result traces and exports like any forward pass, which `torch.func.jvp` does not.
The tangent is the derivative with respect to one scalar per row, the level of the source gene. The rules are
those of forward-mode automatic differentiation (Griewank and Walther, "Evaluating Derivatives", 2008,
chapter 3).
"""

from __future__ import annotations

from . import arithmetic, functions  # noqa: F401 - importing them registers their rules
from .dual import Dual, UnsupportedFunctionError, split, supported

__all__ = ["Dual", "UnsupportedFunctionError", "split", "supported"]
