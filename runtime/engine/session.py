"""An onnxruntime session over one probe graph."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from numpy.typing import NDArray

from ..arrays import Array, Ids
from ..errors import ArtifactError, DeviceMemoryError, InputError, MissingExtraError, ProviderError

Provider = Literal["auto", "cpu", "cuda"]
MOST_THREADS = 1024
LEAST_BUDGET_MB = 16
CPU_BUDGET_MB = 1024
OUT_OF_MEMORY = ("out of memory", "failed to allocate", "bad_alloc", "bad allocation", "cublas_status_alloc_failed")
CUDA_LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "cudart64_13.dll", "cudart64_12.dll")
_ORT_NAMES = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class RuntimeSettings:
    """Settings of the graphs' runs.

    Attributes:
        provider: ``auto`` takes CUDA where onnxruntime offers it and it starts, else the CPU.
        threads: CPU threads; 0 leaves the choice to onnxruntime.
        memory_mb: budget for activations and results of one run of a graph, in MiB; 0: on the CPU `CPU_BUDGET_MB`,
            on a GPU half of what is free there.
    """

    provider: Provider = "auto"
    threads: int = 0
    memory_mb: int = 0

    def __post_init__(self) -> None:
        if self.provider not in get_args(Provider):
            message = f"provider {self.provider!r} is not known; expected auto, cpu or cuda"
            raise InputError(message)
        if not 0 <= self.threads <= MOST_THREADS or 0 != self.memory_mb < LEAST_BUDGET_MB:
            message = (
                f"found {self.threads} threads and a budget of {self.memory_mb} MiB; "
                f"expected 0 to {MOST_THREADS} threads and a budget of at least {LEAST_BUDGET_MB}, or 0 for the usual"
            )
            raise InputError(message)


def processors() -> int:
    """Number of processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        keep_memory: keep the memory that a run frees for the next one; for runs of one shape: with others it would
            only grow. Else the processor's memory is given back after each run.

    Raises:
        ProviderError: CUDA was asked for and cannot be had.
    """

    def __init__(self, path: Path, settings: RuntimeSettings, keep_memory: bool = False) -> None:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = settings.threads
        self._run_options = ort.RunOptions()
        if not keep_memory:
            self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        wanted = _providers(ort, settings.provider)
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[_ORT_NAMES[p] for p in wanted])
        except Exception as error:  # noqa: BLE001 - onnxruntime raises its own classes, straight from Exception
            message = f"{path}: onnxruntime cannot load it ({error}); export the artifact again"
            raise ArtifactError(message) from error
        self._kept: dict[str, tuple[NDArray[Any], Any]] = {}
        self.provider = "cuda" if _ORT_NAMES["cuda"] in self._session.get_providers() else "cpu"
        if settings.provider == "cuda" and self.provider != "cuda":
            message = (
                "CUDA was asked for but onnxruntime could not start it (driver, cuDNN or CUDA libraries); "
                "run 'ugrn doctor' to see what is missing, or use --provider cpu"
            )
            raise ProviderError(message)

    def run(
        self,
        context: Ids,
        context_values: Array,
        sources: Ids,
        levels: Array,
        targets: Ids,
    ) -> list[Array]:
        """Run the graph.

        Args:
            context: ``[C]`` gene ids; may be empty.
            context_values: ``[C]``.
            sources: ``[S]`` gene ids.
            levels: ``[S, K]`` values given to each source.
            targets: ``[Q]`` gene ids.

        Returns:
            ``[value]`` or ``[value, gradient]``, each ``[S, K, Q]``.

        Raises:
            DeviceMemoryError: there is no memory left for it; ask for less at once.
        """
        feeds: dict[str, NDArray[Any]] = {
            "context": context,
            "context_values": context_values,
            "sources": sources,
            "levels": levels,
            "targets": targets,
        }
        try:
            outputs: list[Array] = (
                self._session.run(None, feeds, self._run_options) if self.provider == "cpu" else self._run_bound(feeds)
            )
        except Exception as error:
            if any(word in str(error).lower() for word in OUT_OF_MEMORY):
                message = f"no memory left for {len(sources)} sources and {len(targets)} targets at once ({error})"
                raise DeviceMemoryError(message) from error
            raise
        return outputs

    def _run_bound(self, feeds: dict[str, NDArray[Any]]) -> list[Array]:
        """Run with inputs and outputs on the device: only the results are copied back, once.

        Inputs that stay the same from run to run are copied there once.
        """
        binding = self._session.io_binding()
        for name, array in feeds.items():
            kept = self._kept.get(name)
            if kept is None or kept[0] is not array:
                kept = array, import_onnxruntime().OrtValue.ortvalue_from_numpy(array, self.provider, 0)
                self._kept[name] = kept
            binding.bind_ortvalue_input(name, kept[1])
        for output in self._session.get_outputs():
            binding.bind_output(output.name, self.provider, 0)
        self._session.run_with_iobinding(binding, self._run_options)
        copied: list[Array] = binding.copy_outputs_to_cpu()
        return copied


def memory_budget(settings: RuntimeSettings) -> int:
    """Bytes that activations and results of one run may take; see `RuntimeSettings.memory_mb`."""
    if settings.memory_mb:
        return settings.memory_mb << 20
    on_gpu = settings.provider != "cpu" and "cuda" in _providers(import_onnxruntime(), settings.provider)
    free = free_gpu_bytes() if on_gpu else 0
    return free // 2 or CPU_BUDGET_MB << 20


def free_gpu_bytes() -> int:
    """Memory that is free on the first GPU; 0 where CUDA's runtime library cannot say."""
    for name in CUDA_LIBRARIES:
        try:
            ask = ctypes.CDLL(name).cudaMemGetInfo
        except (OSError, AttributeError):
            continue
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        if ask(ctypes.byref(free), ctypes.byref(total)) == 0:
            return free.value
    return 0


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
