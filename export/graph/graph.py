"""From a backbone to ONNX graphs, and the proof that they compute what the backbone does.

``vvp.onnx`` gives the value, ``gdt.onnx`` value and gradient. After writing, each graph is run with
onnxruntime at shapes it was not traced with and compared with the same backbone in float64, whose gradient
comes from reverse-mode autograd and shares no code with the tangent rules.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ugrn.runtime.engine.session import GraphSession, RuntimeSettings
from ugrn.runtime.errors import UgrnError

from ..model.base import Backbone, Readout
from .virtual_cell import ProbeGraph

OPSET = 20
TOLERANCE = 1e-4
KINK = 1e-5  # of a level
WHOLE_GENOME = 4096  # tokens of every virtual cell, above which parity is checked cell by cell
INPUTS = ("context", "context_values", "sources", "levels", "targets")
OUTPUTS = ("value", "gradient")

Arrays = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


class ParityError(UgrnError):
    """An exported graph does not compute what the backbone does."""


@dataclass(frozen=True)
class Probe:
    """What is exported: a backbone, a readout and the baseline v_b."""

    backbone: Backbone
    readout: Readout
    baseline: float

    def module(self, tangent: bool, double: bool = False) -> ProbeGraph:
        """The module to trace, or a float64 copy of it."""
        backbone = self.backbone
        if double:
            backbone = cast(Backbone, copy.deepcopy(cast(nn.Module, backbone)).double())
        return ProbeGraph(backbone, self.readout, self.baseline, tangent).eval()


def export_onnx(probe: Probe, tangent: bool, path: Path) -> None:
    """Write one graph with dynamic S, K, C and Q, weights inside the file."""
    arguments = _tensors(random_inputs(len(probe.backbone.symbols), (2, 3, 4, 5), np.random.default_rng(0)))
    dim = {name: torch.export.Dim(name, min=0 if name == "C" else 1) for name in "SKCQ"}
    shapes = {
        "context": {0: dim["C"]},
        "context_values": {0: dim["C"]},
        "sources": {0: dim["S"]},
        "levels": {0: dim["S"], 1: dim["K"]},
        "targets": {0: dim["Q"]},
    }
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            probe.module(tangent),
            arguments,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS[: 1 + tangent]),
            opset_version=OPSET,
            verbose=False,
        )
        _forget_where(cast(Any, program).model)
        cast(Any, program).save(path, external_data=False)


def _forget_where(model: Any) -> None:
    """Drop the exporter's record of the code each node came from: it names folders of this machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()


def export_torchscript(probe: Probe, tangent: bool, path: Path) -> None:
    """Write the same module as a TorchScript file, for libtorch."""
    arguments = _tensors(random_inputs(len(probe.backbone.symbols), (2, 3, 4, 5), np.random.default_rng(0)))
    with _quiet(), torch.no_grad():
        torch.jit.trace(probe.module(tangent), arguments, check_trace=False).save(str(path))


def check_parity(probe: Probe, folder: Path, levels: tuple[float, float], seed: int = 0) -> dict[str, Any]:
    """Compare every graph in `folder` with float64 autograd at five random shapes.

    Args:
        probe: what the graphs were exported from.
        folder: holds ``vvp.onnx`` and ``gdt.onnx``, and perhaps ``vvp.ts`` and ``gdt.ts``.
        levels: range the levels are drawn from.
        seed: of shapes and inputs.

    Returns:
        Largest absolute deviation of value and gradient, per file, relative to the largest absolute value over all
        shapes (a shape of one pair may meet a gradient near zero, of which float32 leaves little); the shapes; the
        tolerance.

    Raises:
        ParityError: a deviation is above `TOLERANCE` or not finite.
    """
    rng = np.random.default_rng(seed)
    genes = len(probe.backbone.symbols)
    whole_genome = probe.backbone.shape.tokens > WHOLE_GENOME
    shapes = [_random_shape(rng, genes, index == 0, whole_genome) for index in range(5)]
    worst: dict[str, dict[str, float]] = {}
    scale = dict.fromkeys(OUTPUTS, 1e-12)
    runners = {path.name: _runner(path) for path in sorted(folder.glob("*.onnx")) + sorted(folder.glob("*.ts"))}
    reference = probe.module(tangent=False, double=True)
    for shape in shapes:
        inputs = random_inputs(genes, shape, rng, levels)
        known = difference_reference(reference, inputs) if whole_genome else autograd_reference(reference, inputs)
        expected = dict(zip(OUTPUTS, known, strict=True))
        scale = {output: max(scale[output], float(np.abs(expected[output]).max())) for output in OUTPUTS}
        for name, run in runners.items():
            for output, found in zip(OUTPUTS, run(inputs), strict=False):
                deviation = float(np.abs(found - expected[output]).max())
                if deviation > TOLERANCE * scale[output] and output == "gradient" and not whole_genome:
                    deviation = _beyond_kinks(reference, inputs, found)
                kept = worst.setdefault(name, {}).get(output, 0.0)
                worst[name][output] = max(kept, deviation if np.isfinite(deviation) else float("inf"))
    worst = {name: {output: each / scale[output] for output, each in found.items()} for name, found in worst.items()}
    for name, outputs in worst.items():
        for output, deviation in outputs.items():
            if deviation > TOLERANCE:
                message = (
                    f"{name}: {output} deviates from float64 autograd by {deviation:.1e} of its largest value, "
                    f"tolerance {TOLERANCE:.0e}; nothing was written. Check the backbone's weights for NaN or "
                    "very large values"
                )
                raise ParityError(message)
    named = [dict(zip(("sources", "levels", "context", "targets"), shape, strict=True)) for shape in shapes]
    return {"tolerance": TOLERANCE, "shapes": named, "deviation": worst}


def _beyond_kinks(reference: ProbeGraph, inputs: Arrays, gradient: NDArray[np.float32]) -> float:
    """How far a gradient lies outside what float64 autograd gives at levels a rounding error away.

    Beside a kink (relu) the sign of a rounding error decides which of two slopes float32 takes; both are right.
    """
    context, values, sources, levels, targets = inputs
    moved = [levels * np.float32(1 + step) for step in (-KINK, 0.0, KINK)]
    near = np.stack([autograd_reference(reference, (context, values, sources, each, targets))[1] for each in moved])
    return float(np.maximum(near.min(0) - gradient, gradient - near.max(0)).clip(min=0.0).max())


def autograd_reference(module: ProbeGraph, inputs: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Value and gradient ``[S, K, Q]`` in float64, the gradient by one reverse pass per target."""
    context, context_values, sources, levels, targets = _tensors(inputs)
    level = levels.double().requires_grad_()
    (value,) = module(context, context_values.double(), sources, level, targets)
    columns = [
        torch.autograd.grad(value[:, :, q].sum(), level, retain_graph=True, allow_unused=True)[0]
        for q in range(value.shape[2])
    ]
    gradient = torch.stack([torch.zeros_like(level) if c is None else c for c in columns], dim=2)
    return value.detach().numpy(), gradient.numpy()


def difference_reference(
    module: ProbeGraph, inputs: Arrays, step: float = 1e-5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Value and gradient ``[S, K, Q]`` in float64, the gradient by a central difference.

    For backbones that always read a whole genome, whose reverse pass would keep tens of gigabytes.
    """
    context, context_values, sources, levels, targets = _tensors(inputs)
    with torch.no_grad():
        low, middle, high = (
            module(context, context_values.double(), sources, levels.double() + d * step, targets)[0].numpy()
            for d in (-1, 0, 1)
        )
    return middle, (high - low) / (2 * step)


def random_inputs(
    genes: int,
    shape: tuple[int, int, int, int],
    rng: np.random.Generator,
    levels: tuple[float, float] = (-1.0, 1.0),
) -> Arrays:
    """Inputs of a given (S, K, C, Q): the first target is the first source, and where the context has
    genes, its first is the last source."""
    s, k, c, q = shape
    sources = rng.choice(genes, s, replace=False)
    context = rng.choice(np.setdiff1d(np.arange(genes), sources[-1:]), c, replace=False)
    context[:1] = sources[-1:]
    targets = rng.choice(np.setdiff1d(np.arange(genes), sources[:1]), q, replace=False)
    targets[:1] = sources[:1]
    values = rng.uniform(*levels, c).astype(np.float32)
    return context, values, sources, rng.uniform(*levels, (s, k)).astype(np.float32), targets


def _random_shape(
    rng: np.random.Generator, genes: int, empty_context: bool, one_row: bool = False
) -> tuple[int, int, int, int]:
    most = max(2, min(24, genes // 2))
    s, k, c, q = (int(rng.integers(1, top + 1)) for top in (min(5, most), 9, most, most))
    if one_row:
        s, k = 1, 1
    return s, k, 0 if empty_context else c, q


def _runner(path: Path) -> Any:
    if path.suffix == ".onnx":
        session = GraphSession(path, RuntimeSettings(provider="cpu"))
        return lambda inputs: session.run(*inputs)
    with _quiet():
        module = torch.jit.load(str(path))

    def run(inputs: Arrays) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            return [output.numpy() for output in module(*_tensors(inputs))]

    return run


def _tensors(inputs: Arrays) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in inputs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' notes about their own insides from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
