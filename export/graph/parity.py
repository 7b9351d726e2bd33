"""The proof that exported graphs compute what the backbone does.

Each graph is run with onnxruntime at shapes it was not traced with and compared with the same backbone in float64,
whose gradient comes from reverse-mode autograd and shares no code with the tangent rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ugrn.runtime.arrays import Array, Doubles
from ugrn.runtime.engine.session import GraphSession, RuntimeSettings
from ugrn.runtime.errors import UgrnError

from .probe import OUTPUTS, Inputs, Probe, ProbeGraph, random_inputs, to_tensors
from .tracing import quiet

TOLERANCE = 1e-4
KINK = 1e-5  # of a level
STEP = 1e-5  # of a central difference
WHOLE_GENOME = 4096  # tokens of every virtual cell, above which parity is checked cell by cell
Deviations = dict[str, dict[str, float]]  # by file and output
Run = Callable[[Inputs], Sequence[Array]]


class ParityError(UgrnError):
    """An exported graph does not compute what the backbone does."""


def check_parity(probe: Probe, folder: Path, levels: tuple[float, float]) -> dict[str, Any]:
    """Compare every graph in `folder` with float64 autograd at five random shapes.

    Args:
        probe: what the graphs were exported from.
        folder: holds ``vvp.onnx`` and ``gdt.onnx``, and perhaps ``vvp.ts`` and ``gdt.ts``.
        levels: range the levels are drawn from.

    Returns:
        Largest absolute deviation of value and gradient, per file, relative to the largest absolute value over all
        shapes (a shape of one pair may meet a gradient near zero, of which float32 leaves little); the shapes; the
        tolerance.

    Raises:
        ParityError: a deviation is above `TOLERANCE` or not finite.
    """
    rng = np.random.default_rng(0)
    whole_genome = probe.backbone.shape.tokens > WHOLE_GENOME
    shapes = [_random_shape(rng, probe.genes, index == 0, whole_genome) for index in range(5)]
    inputs = (random_inputs(probe.genes, shape, rng, levels) for shape in shapes)
    graphs = {path.name: _runner(path) for path in sorted(folder.glob("*.onnx")) + sorted(folder.glob("*.ts"))}
    deviations = _largest_deviations(probe.module(tangent=False, double=True), graphs, inputs, whole_genome)
    for name, outputs in deviations.items():
        for output, deviation in outputs.items():
            if deviation > TOLERANCE:
                message = (
                    f"{name}: {output} deviates from float64 autograd by {deviation:.1e} of its largest value, "
                    f"tolerance {TOLERANCE:.0e}; nothing was written. Check the backbone's weights for NaN or "
                    "very large values"
                )
                raise ParityError(message)
    named = [dict(zip(("sources", "levels", "context", "targets"), shape, strict=True)) for shape in shapes]
    return {"tolerance": TOLERANCE, "shapes": named, "deviation": deviations}


def autograd_reference(module: ProbeGraph, inputs: Inputs) -> tuple[Doubles, Doubles]:
    """Value and gradient ``[S, K, Q]`` in float64, the gradient by one reverse pass per target."""
    context, context_values, sources, levels, targets = to_tensors(inputs)
    level = levels.double().requires_grad_()
    (value,) = module(context, context_values.double(), sources, level, targets)
    columns = [
        torch.autograd.grad(value[:, :, q].sum(), level, retain_graph=True, allow_unused=True)[0]
        for q in range(value.shape[2])
    ]
    gradient = torch.stack([torch.zeros_like(level) if c is None else c for c in columns], dim=2)
    return value.detach().numpy(), gradient.numpy()


def difference_reference(module: ProbeGraph, inputs: Inputs) -> tuple[Doubles, Doubles]:
    """Value and gradient ``[S, K, Q]`` in float64, the gradient by a central difference.

    For backbones that always read a whole genome, whose reverse pass would keep tens of gigabytes.
    """
    context, context_values, sources, levels, targets = to_tensors(inputs)
    with torch.no_grad():
        low, middle, high = (
            module(context, context_values.double(), sources, levels.double() + d * STEP, targets)[0].numpy()
            for d in (-1, 0, 1)
        )
    return middle, (high - low) / (2 * STEP)


def deviation_beyond_kinks(reference: ProbeGraph, inputs: Inputs, gradient: Array) -> float:
    """Distance of a gradient ``[S, K, Q]`` from the range that float64 autograd gives a rounding error away.

    Beside a kink (relu) the sign of a rounding error decides which of two slopes float32 takes; both are right.
    """
    context, values, sources, levels, targets = inputs
    moved = [levels * np.float32(1 + step) for step in (-KINK, 0.0, KINK)]
    near = np.stack([autograd_reference(reference, (context, values, sources, each, targets))[1] for each in moved])
    return float(np.maximum(near.min(0) - gradient, gradient - near.max(0)).clip(min=0.0).max())


def _largest_deviations(
    reference: ProbeGraph, graphs: dict[str, Run], several: Iterable[Inputs], whole_genome: bool
) -> Deviations:
    """Largest deviation over all inputs, relative to the largest absolute value of the reference."""
    worst: Deviations = {name: {} for name in graphs}
    scale = dict.fromkeys(OUTPUTS, 1e-12)
    for inputs in several:
        known = difference_reference(reference, inputs) if whole_genome else autograd_reference(reference, inputs)
        expected = dict(zip(OUTPUTS, known, strict=True))
        scale = {output: max(scale[output], float(np.abs(expected[output]).max())) for output in OUTPUTS}
        for name, run in graphs.items():
            for output, found in zip(OUTPUTS, run(inputs), strict=False):
                deviation = float(np.abs(found - expected[output]).max())
                if deviation > TOLERANCE * scale[output] and output == "gradient" and not whole_genome:
                    deviation = deviation_beyond_kinks(reference, inputs, found)
                kept = worst[name].get(output, 0.0)
                worst[name][output] = max(kept, deviation if np.isfinite(deviation) else float("inf"))
    return {name: {output: each / scale[output] for output, each in outputs.items()} for name, outputs in worst.items()}


def _random_shape(
    rng: np.random.Generator, genes: int, empty_context: bool, one_row: bool
) -> tuple[int, int, int, int]:
    most = max(2, min(24, genes // 2))
    s, k, c, q = (int(rng.integers(1, top + 1)) for top in (min(5, most), 9, most, most))
    if one_row:
        s, k = 1, 1
    return s, k, 0 if empty_context else c, q


def _runner(path: Path) -> Run:
    if path.suffix == ".onnx":
        session = GraphSession(path, RuntimeSettings(provider="cpu"))
        return lambda inputs: session.run(*inputs)
    with quiet():
        module = torch.jit.load(str(path))

    def run(inputs: Inputs) -> list[Array]:
        with torch.no_grad():
            return [output.numpy() for output in module(*to_tensors(inputs))]

    return run
