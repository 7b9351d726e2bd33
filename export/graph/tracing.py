"""A probe as ONNX and TorchScript files: ``vvp`` gives the value, ``gdt`` value and gradient."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from .probe import INPUTS, OUTPUTS, Probe, random_inputs, to_tensors

OPSET = 20


def export_onnx(probe: Probe, tangent: bool, path: Path) -> None:
    """Write one graph with dynamic S, K, C and Q, weights inside the file."""
    dim = {name: torch.export.Dim(name, min=0 if name == "C" else 1) for name in "SKCQ"}
    shapes = {
        "context": {0: dim["C"]},
        "context_values": {0: dim["C"]},
        "sources": {0: dim["S"]},
        "levels": {0: dim["S"], 1: dim["K"]},
        "targets": {0: dim["Q"]},
    }
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            probe.module(tangent),
            _example(probe),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS[: 1 + tangent]),
            opset_version=OPSET,
            verbose=False,
        )
        _drop_stack_traces(cast(Any, program).model)
        cast(Any, program).save(path, external_data=False)


def export_torchscript(probe: Probe, tangent: bool, path: Path) -> None:
    """Write the same module as a TorchScript file, for libtorch."""
    with quiet(), torch.no_grad():
        torch.jit.trace(probe.module(tangent), _example(probe), check_trace=False).save(str(path))


@contextmanager
def quiet() -> Iterator[None]:
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


def _example(probe: Probe) -> tuple[Tensor, ...]:
    return to_tensors(random_inputs(probe.genes, (2, 3, 4, 5), np.random.default_rng(0)))


def _drop_stack_traces(model: Any) -> None:
    """Drop the exporter's record of the code each node came from: it names folders of this machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
