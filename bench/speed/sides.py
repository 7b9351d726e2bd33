"""Side by side: value and gradient of the same weights and inputs, five ways, in turns within one process.

- paper: one reverse-mode pass per pair and level in torch, a forward pass before each. Timed for a handful and
  EXTRAPOLATED to all targets and the gradient's levels; also with the forward pass shared by the targets of a level.
- jvp: `torch.func.jvp` of the plain forward pass in eager torch, all levels of the gradient graph in one batch; the
  plain forward pass alone where the runtime runs the graph without the gradient.
- dual: the modules we export, run in eager torch.
- plain: the plain forward pass with tangent rules at all levels, exported and run by onnxruntime: nothing is left out.
- ours: the graphs, run as the runtime runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ugrn.export.graph.probe import ProbeGraph, random_inputs
from ugrn.export.graph.tracing import export_onnx
from ugrn.runtime import RuntimeSettings
from ugrn.runtime.engine.grid import GRADIENT_GRAPH, VALUE_GRAPH
from ugrn.runtime.engine.probe import Prober
from ugrn.runtime.engine.session import GraphSession

from .plain import Inputs, PlainGraph, PlainProbe, backward, by_jvp, leaf_value, one_pair
from .settings import MODELS, Bench, Rows, runtime_feeds
from .timing import interleaved

TOLERANCE = 1e-4  # of the largest absolute value, float32 all over
MOST_SOURCES = 64
Call = Callable[[], object]
Part = Callable[[Inputs], object]


def compare_sides(bench: Bench) -> Rows:
    """One row per model; agreement is checked before anything is timed."""
    return [_model(bench, model) for model in MODELS]


def _model(bench: Bench, model: str) -> dict[str, Any]:
    bench.notify(f"sides: {model}")
    backbone, prober = bench.backbone(model), bench.prober(model)
    path = bench.folder / f"{model}-plain.onnx"
    export_onnx(PlainProbe(backbone, "mvc", prober.artifact.manifest.baseline), True, path)
    plain_session = GraphSession(path, RuntimeSettings("cpu"))
    plain = PlainGraph(backbone).eval()
    dual, value = (
        ProbeGraph(backbone, "mvc", prober.artifact.manifest.baseline, tangent).eval() for tangent in (True, False)
    )
    deviations = _check(plain, dual, plain_session, prober)
    bench.notify(f"sides: {model} agrees, {max(deviations.values()):.0e} at most; timing")
    width, feeds = runtime_feeds(prober, MOST_SOURCES, bench.sizes.targets)
    calls: dict[str, Call] = {
        "ours": lambda: [prober.sessions[graph].run(*feed) for graph, each in feeds.items() for feed in each]
    }
    batch = {"ours": width}
    for sources in bench.sizes.batches[model]:
        arrays = _block(prober, sources, bench.sizes.targets)
        parts = {graph: _tensors(_at(arrays, levels)) for graph, levels in prober.grid.graphs.items()}
        calls |= {f"jvp {sources}": _frozen(_eager, partial(by_jvp, plain), lambda inputs: plain(*inputs), parts)}
        calls |= {
            f"dual {sources}": _frozen(_eager, lambda inputs: dual(*inputs), lambda inputs: value(*inputs), parts)
        }
        calls[f"plain {sources}"] = partial(plain_session.run, *arrays)
        batch |= {f"{way} {sources}": sources for way in ("jvp", "dual", "plain")}
    calls |= _reverse_calls(plain, _tensors(_block(prober, 1, bench.sizes.targets)))
    seconds = interleaved(calls, bench.sizes.repeats)
    row = {"model": model, "context": bench.sizes.context[model], "targets": bench.sizes.targets}
    row |= {"levels": {graph: part.stop - part.start for graph, part in prober.grid.graphs.items()}}
    return row | {"deviations": deviations} | _compared(seconds, batch, prober, row)


def _compared(seconds: dict[str, float], batch: dict[str, int], prober: Prober, row: dict[str, Any]) -> dict[str, Any]:
    """Seconds per source of every way, its fastest batch, and how many times ours each is."""
    levels, targets = len(prober.artifact.manifest.gdt_levels), row["targets"]
    both, shared = seconds["reverse"], seconds["backward"]
    each = {
        "paper": levels * targets * both,
        "paper, forward shared": levels * (max(both - shared, 0.0) + targets * shared),
    }
    chosen = {}
    for way in ("jvp", "dual", "plain", "ours"):
        per_source = {name: seconds[name] / count for name, count in batch.items() if name.split()[0] == way}
        fastest = min(per_source, key=lambda name: per_source[name])
        each[way], chosen[way] = per_source[fastest], batch[fastest]
    return {
        "seconds_per_source": each,
        "ratios": {way: value / each["ours"] for way, value in each.items()},
        "sources_per_batch": chosen,
        "reverse_pass_s": both,
        "backward_alone_s": shared,
    }


def _reverse_calls(plain: PlainGraph, inputs: Inputs) -> dict[str, Call]:
    """One pair at one level: forward and backward, and backward alone on a kept graph."""
    pair = one_pair(inputs, 0, 0)
    leaf, value = leaf_value(plain, pair)
    return {"reverse": lambda: backward(*leaf_value(plain, pair)), "backward": lambda: backward(leaf, value)}


def _frozen(function: Callable[..., object], *arguments: object) -> Call:
    """The call without a reverse-mode graph."""

    def call() -> object:
        with torch.no_grad():
            return function(*arguments)

    return call


def _eager(steep: Part, flat: Part, parts: dict[str, Inputs]) -> list[object]:
    """Each graph's levels by torch: with gradient, or without."""
    return [(steep if graph == GRADIENT_GRAPH else flat)(inputs) for graph, inputs in parts.items()]


def _at(arrays: tuple[NDArray[Any], ...], part: slice) -> tuple[NDArray[Any], ...]:
    """Some of the levels of a block."""
    context, values, sources, levels, targets = arrays
    return context, values, sources, levels[:, part].copy(), targets


def _block(prober: Prober, sources: int, targets: int) -> tuple[NDArray[Any], ...]:
    """Inputs of `ProbeGraph.forward` as the runtime makes them, all levels in one batch."""
    artifact = prober.artifact
    ids = np.arange(sources + targets, dtype=np.int64)
    levels = np.tile(prober.grid.levels, (sources, 1))
    return artifact.context, artifact.context_values, ids[:sources], levels, ids[sources:]


def _check(plain: PlainGraph, dual: ProbeGraph, plain_session: GraphSession, prober: Prober) -> dict[str, float]:
    """Largest deviation of each way from the plain forward pass and its jvp, relative to the largest value.

    Raises:
        RuntimeError: above `TOLERANCE`.
    """
    manifest = prober.artifact.manifest
    low, high = float(prober.grid.levels.min()), float(prober.grid.levels.max())
    rng, genes = np.random.default_rng(0), len(prober.artifact.names.symbols)
    arrays = random_inputs(genes, (2, 3, min(len(prober.artifact.context), 64), 7), rng, (low, high))
    inputs = _tensors(arrays)
    value, gradient = (each.numpy() for each in by_jvp(plain, inputs))
    with torch.no_grad():
        ways = {"dual": [each.numpy() for each in dual(*inputs)]}
    ways |= {"plain graph": plain_session.run(*arrays), "our graph": prober.sessions[GRADIENT_GRAPH].run(*arrays)}
    found = {name: max(_deviation(value, v), _deviation(gradient, g)) for name, (v, g) in ways.items()}
    if VALUE_GRAPH in prober.sessions:
        found["our graph without gradient"] = _deviation(value, prober.sessions[VALUE_GRAPH].run(*arrays)[0])
    spots = [(level, target) for level in range(3) for target in (0, 6)]
    passes = [backward(*leaf_value(plain, one_pair(inputs, *spot))).item() for spot in spots]
    known = np.array([gradient[0, level, target] for level, target in spots])
    found["reverse mode"] = float(np.abs(known - passes).max() / np.abs(gradient).max())
    wrong = {name: each for name, each in found.items() if not each <= TOLERANCE}
    if wrong:
        message = f"{manifest.backbone}: deviates from torch.func.jvp of the plain forward pass: {wrong}"
        raise RuntimeError(message)
    return found


def _deviation(expected: NDArray[Any], found: NDArray[Any]) -> float:
    return float(np.abs(expected - found).max() / np.abs(expected).max())


def _tensors(arrays: tuple[NDArray[Any], ...]) -> Inputs:
    return tuple(torch.from_numpy(array) for array in arrays)  # type: ignore[return-value]
