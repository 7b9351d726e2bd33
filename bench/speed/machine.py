"""The machine: what it is, which versions run on it, and how fast it multiplies float32 matrices."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper
from threadpoolctl import threadpool_limits

from ugrn.runtime.engine.session import import_onnxruntime, processors

PACKAGES = (
    "ugrn",
    "numpy",
    "polars",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "onnx",
    "scikit-learn",
    "regdiffusion",
)


def metadata(provider: str) -> dict[str, str]:
    """Name -> value of the machine's parts and of the versions in use; the GPU where `provider` may use it."""
    found = {
        "processor": _processor(),
        "cores this process may use": f"{processors()} of {os.cpu_count()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "system": platform.platform(),
        "provider": provider,
        "torch threads": str(torch.get_num_threads()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "python": platform.python_version(),
    }
    if provider != "cpu" and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Numpy and torch multiply on this many threads; 0 leaves both as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with threadpool_limits(threads or None, "blas"):
            yield
    finally:
        torch.set_num_threads(before)


def matrix_calls(m: int, k: int, n: int, threads: int) -> dict[str, Callable[[], object]]:
    """The product ``[m, k] x [k, n]`` in float32 by numpy, torch and onnxruntime, 2 m k n operations each.

    Onnxruntime is given `threads`; for the others see `on_threads`.
    """
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    session = _product_session(b, threads)
    out, tout = np.empty((m, n), np.float32), torch.empty(m, n)
    return {
        "numpy": lambda: np.matmul(a, b, out=out),
        "torch": lambda: torch.mm(ta, tb, out=tout),
        "onnxruntime": lambda: session.run(None, {"a": a}),
    }


def _product_session(b: np.ndarray, threads: int) -> Any:
    """An onnxruntime session that multiplies ``a`` by a constant, as the layers of a graph do."""
    k, n = b.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["m", k])],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, ["m", n])],
        [helper.make_tensor("b", TensorProto.FLOAT, b.shape, b.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {platform.machine()}"
