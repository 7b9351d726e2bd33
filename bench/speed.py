"""Wall time and resident memory of ``ugrn score``, each measured in a process of its own.

    python bench/speed.py [--backbone mini|scgpt-width] [--runs 3] [--json speed.json]

``mini`` scores the bundled artifact: 1,000, 100,000 and 1,000,000 pairs. ``scgpt-width`` exports a
random-weight backbone of scGPT's size (12 layers, width 512) with a 256-gene context and scores 100 x 1,000
pairs. Times are medians on the machine named in the output; compare ratios, not seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ugrn.runtime import bundled_artifact, open_artifact
from ugrn.runtime.session import import_onnxruntime

MEASURE = """
import resource, subprocess, sys, time
started = time.monotonic()
code = subprocess.call(sys.argv[1:], stderr=subprocess.DEVNULL)
print(code, time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def write_pairs(path: Path, symbols: list[str], sources: int, targets: int) -> None:
    rng = np.random.default_rng(0)
    genes = np.array(symbols)
    with path.open("w") as file:
        for source in rng.permutation(genes)[:sources]:
            for target in rng.permutation(genes[genes != source])[:targets]:
                file.write(f"{source},{target}\n")


def measure(artifact: Path, sources: int, targets: int, runs: int, folder: Path) -> dict[str, Any]:
    """Median wall time and largest resident memory of the installed command."""
    pairs, output = folder / "pairs.csv", folder / "edges.csv"
    write_pairs(pairs, open_artifact(artifact).names.symbols, sources, targets)
    ugrn = str(Path(sys.executable).with_name("ugrn"))
    command = [ugrn, "score", str(pairs), "--artifact", str(artifact), "-o", str(output)]
    seconds, megabytes = [], []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True
        ).stdout.split()
        if done[0] != "0":
            message = f"ugrn score failed with exit code {done[0]}"
            raise RuntimeError(message)
        seconds.append(float(done[1]))
        megabytes.append(float(done[2]))
    count = sources * targets
    wall = statistics.median(seconds)
    return {"pairs": count, "sources": sources, "seconds": wall, "pairs_per_s": count / wall, "rss_mb": max(megabytes)}


def scgpt_width(folder: Path) -> Path:
    """A random-weight artifact of scGPT's size."""
    import torch

    from ugrn.export.backbones.base import Origin
    from ugrn.export.backbones.mini import FinishedGenes, MiniBackbone, MiniConfig
    from ugrn.export.bundle import ExportSettings, add_translator, write_artifact
    from ugrn.runtime import load

    bundled = load()
    torch.manual_seed(0)
    symbols = bundled.artifact.names.symbols
    config = MiniConfig(width=512, layers=12, heads=8, feedforward=512)
    table = FinishedGenes(len(symbols), config.width)
    table.table.normal_()
    backbone = MiniBackbone(config, symbols, table).eval()
    write_artifact(backbone, folder / "wide", ExportSettings(context=tuple(symbols[:256])), Origin())
    add_translator(folder / "wide", bundled.artifact.translator, bundled.artifact.manifest.metrics)
    return folder / "wide"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--backbone", choices=["mini", "scgpt-width"], default="mini")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wide = arguments.backbone == "scgpt-width"
        artifact = scgpt_width(folder) if wide else bundled_artifact()
        sizes = [(100, 1_000)] if wide else [(10, 100), (100, 1_000), (1_000, 1_000)]
        rows = [measure(artifact, *size, arguments.runs, folder) for size in sizes]
    machine = f"{platform.machine()}, {os.cpu_count()} cores; onnxruntime {import_onnxruntime().__version__}"
    print(f"{arguments.backbone} on {machine}; medians of {arguments.runs} runs")
    print("| pairs | sources | seconds | pairs/s | peak resident MB |\n|---|---|---|---|---|")
    for row in rows:
        print("| {pairs:,} | {sources:,} | {seconds:.2f} | {pairs_per_s:,.0f} | {rss_mb:.0f} |".format(**row))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
