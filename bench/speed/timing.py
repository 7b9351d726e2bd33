"""Wall time: calls in turns within one process, and commands in a process of their own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

PAUSE = 0.1  # s; the thread pools of torch and onnxruntime spin for a while after their work
MEASURE = """
import resource, subprocess, sys, time
started = time.monotonic()
code = subprocess.call(sys.argv[1:], stderr=subprocess.DEVNULL)
print(code, time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int, pause: float = PAUSE) -> dict[str, float]:
    """Median seconds of each call, after one untimed round; every round times each call once."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            time.sleep(pause)
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in seconds.items()}


def timed_command(arguments: list[str]) -> tuple[float, float]:
    """Wall time in seconds and largest resident memory in MiB of one ``ugrn`` command.

    Raises:
        RuntimeError: it failed.
    """
    ugrn = str(Path(sys.executable).with_name("ugrn"))
    done = subprocess.run([sys.executable, "-c", MEASURE, ugrn, *arguments], capture_output=True, text=True, check=True)
    code, seconds, mebibytes = done.stdout.split()[-3:]
    if code != "0":
        message = f"ugrn {' '.join(arguments)} failed with exit code {code}"
        raise RuntimeError(message)
    return float(seconds), float(mebibytes)
