"""An onnxruntime session over one probe graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import ArtifactError, InputError, MissingExtraError, ProviderError

Provider = Literal["auto", "cpu", "cuda"]
MOST_THREADS = 1024
_ORT_NAMES = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class RuntimeSettings:
    """How graphs are run.

    Attributes:
        provider: ``auto`` takes CUDA where onnxruntime offers it and it starts, else the CPU.
        threads: CPU threads; 0 leaves the choice to onnxruntime.
        memory_mb: budget for activations and results of one block, in MiB.
    """

    provider: Provider = "auto"
    threads: int = 0
    memory_mb: int = 256

    def __post_init__(self) -> None:
        if self.provider not in get_args(Provider):
            message = f"provider {self.provider!r} is not known; expected auto, cpu or cuda"
            raise InputError(message)
        if not 0 <= self.threads <= MOST_THREADS or self.memory_mb < 16:
            message = (
                f"found {self.threads} threads and a budget of {self.memory_mb} MiB; "
                f"expected 0 to {MOST_THREADS} threads and a budget of at least 16"
            )
            raise InputError(message)


def import_onnxruntime() -> Any:
    """The onnxruntime module.

    Raises:
        MissingExtraError: neither build of it is installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        what = "running the exported graphs (onnxruntime)"
        raise MissingExtraError(what, "cpu") from error
    return onnxruntime


class GraphSession:
    """One ONNX probe graph, ready to run.

    Args:
        path: of the graph.
        settings: provider and threads.

    Raises:
        ProviderError: CUDA was asked for and cannot be had.
    """

    def __init__(self, path: Path, settings: RuntimeSettings) -> None:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.enable_cpu_mem_arena = False  # shapes differ from block to block: an arena would only grow
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        wanted = _providers(ort, settings.provider)
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[_ORT_NAMES[p] for p in wanted])
        except Exception as error:  # noqa: BLE001 - onnxruntime raises its own classes, straight from Exception
            message = f"{path}: onnxruntime cannot load it ({error}); export the artifact again"
            raise ArtifactError(message) from error
        self.provider = "cuda" if _ORT_NAMES["cuda"] in self._session.get_providers() else "cpu"
        if settings.provider == "cuda" and self.provider != "cuda":
            message = (
                "CUDA was asked for but onnxruntime could not start it (driver, cuDNN or CUDA libraries); "
                "run 'ugrn doctor' to see what is missing, or use --provider cpu"
            )
            raise ProviderError(message)

    def run(
        self,
        context: NDArray[np.int64],
        context_values: NDArray[np.float32],
        sources: NDArray[np.int64],
        levels: NDArray[np.float32],
        targets: NDArray[np.int64],
    ) -> list[NDArray[np.float32]]:
        """Run the graph.

        Args:
            context: ``[C]`` gene ids; may be empty.
            context_values: ``[C]``.
            sources: ``[S]`` gene ids.
            levels: ``[S, K]`` values given to each source.
            targets: ``[Q]`` gene ids.

        Returns:
            ``[value]`` or ``[value, gradient]``, each ``[S, K, Q]``.
        """
        feeds = {
            "context": context,
            "context_values": context_values,
            "sources": sources,
            "levels": levels,
            "targets": targets,
        }
        outputs: list[NDArray[np.float32]] = self._session.run(None, feeds)
        return outputs


def _providers(ort: Any, asked: Provider) -> list[str]:
    offered = set(ort.get_available_providers())
    if asked == "cuda" and _ORT_NAMES["cuda"] not in offered:
        message = (
            f"CUDA was asked for but this onnxruntime offers only {sorted(offered)}; run: "
            "pip uninstall onnxruntime && pip install 'ugrn[gpu]', or use --provider cpu"
        )
        raise ProviderError(message)
    if asked == "cpu" or _ORT_NAMES["cuda"] not in offered:
        return ["cpu"]
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds the CUDA libraries that the gpu extra installed
    return ["cuda", "cpu"]
