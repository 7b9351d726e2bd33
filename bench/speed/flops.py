"""Floating-point operations of an ONNX graph, counted from the shapes that onnxruntime saw while running it.

Counted are matrix products alone, 2 x outputs x inner width; element-wise work is not, so that the fraction of the
matrix rate that a graph reaches says how much of its time is left to them.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx

from ugrn.export.graph.probe import INPUTS, Inputs
from ugrn.runtime.engine.session import import_onnxruntime

PRODUCTS = ("MatMul", "Gemm", "FusedMatMul", "FusedGemm")
NOT_COUNTED = ("Einsum", "Attention", "MultiHeadAttention", "GroupQueryAttention", "Conv", "FusedConv")


@dataclass(frozen=True)
class Count:
    """Operations of one pass over all feeds.

    Attributes:
        operations: of the matrix products.
        shares: op type -> share of the profiled time, 0 to 1, largest first.
    """

    operations: int
    shares: dict[str, float]


def count(path: Path, feeds: Sequence[Inputs]) -> Count:
    """Run a graph once untimed and once for the record per feed; see the module's docstring.

    Raises:
        RuntimeError: the graph has products this module cannot count.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events = [_events(path, each, folder) for each in feeds]
        nodes = {node.name: node for node in onnx.load(folder / "optimised.onnx").graph.node}
    seconds: Counter[str] = Counter()
    operations = 0
    for event in (event for each in events for event in each):
        kind = event["args"]["op_name"]
        seconds[kind] += event["dur"]
        if kind in NOT_COUNTED:
            message = f"{path}: holds {kind}, whose operations are not counted here; add it to bench/speed/flops.py"
            raise RuntimeError(message)
        if kind in PRODUCTS:
            operations += _operations(event, nodes[event["name"].removesuffix("_kernel_time")])
    total = sum(seconds.values())
    return Count(operations, {kind: each / total for kind, each in seconds.most_common()})


def _events(path: Path, feed: Inputs, folder: Path) -> list[dict[str, Any]]:
    """The node events of the second run of a session with the settings of the runtime's."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = dict(zip(INPUTS, feed, strict=True))
    for _ in range(2):
        session.run(None, inputs)
    events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [each for each in events if each["cat"] == "Node" and each["name"].endswith("_kernel_time")]
    return nodes[len(nodes) // 2 :]


def _operations(event: dict[str, Any], node: onnx.NodeProto) -> int:
    """2 x outputs x inner width of one product; the inner width is the first input's."""
    (first, *_), (out, *_) = (
        [list(each.values())[0] for each in event["args"][f"{side}_type_shape"]] for side in ("input", "output")
    )
    flags = {each.name: each.i for each in node.attribute}
    if flags.get("transBatchA"):
        message = f"{node.name}: transBatchA is not counted here"
        raise RuntimeError(message)
    inner = first[-2] if flags.get("transA") and len(first) > 1 else first[-1]
    return int(2 * prod(out) * inner)
