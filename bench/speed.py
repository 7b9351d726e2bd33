"""Wall time and resident memory of ``ugrn`` commands, each measured in a process of its own.

    python bench/speed.py [--backbone mini|scgpt] [--runs 3] [--json speed.json]

``mini`` scores with the bundled artifact: 1,000, 100,000 and 1,000,000 pairs. ``scgpt`` writes a checkpoint of
whole-human scGPT's size and format (12 layers, width 512, 60,697 tokens) with random weights, exports it with 256
context genes and the mvc readout, and scores 10 x 2,000 and 100 x 1,000 pairs. Times are medians on the machine named
in the output; compare ratios, not seconds.
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


def timed(arguments: list[str]) -> tuple[float, float]:
    """Wall time in seconds and largest resident memory in MB of one ``ugrn`` command."""
    ugrn = str(Path(sys.executable).with_name("ugrn"))
    done = subprocess.run([sys.executable, "-c", MEASURE, ugrn, *arguments], capture_output=True, text=True, check=True)
    code, seconds, megabytes = done.stdout.split()
    if code != "0":
        message = f"ugrn {' '.join(arguments)} failed with exit code {code}"
        raise RuntimeError(message)
    return float(seconds), float(megabytes)


def measure(artifact: Path, sources: int, targets: int, runs: int, folder: Path) -> dict[str, Any]:
    """Median wall time and largest resident memory of ``ugrn score``."""
    pairs, output = folder / "pairs.csv", folder / "edges.csv"
    write_pairs(pairs, open_artifact(artifact).names.symbols, sources, targets)
    command = ["score", str(pairs), "--artifact", str(artifact), "-o", str(output)]
    seconds, megabytes = zip(*(timed(command) for _ in range(runs)), strict=True)
    count = sources * targets
    wall = statistics.median(seconds)
    return {"pairs": count, "sources": sources, "seconds": wall, "pairs_per_s": count / wall, "rss_mb": max(megabytes)}


def write_scgpt(folder: Path) -> None:
    """A checkpoint of whole-human scGPT's size and format with random weights: 12 layers, width 512, 60,697 tokens."""
    import torch

    width, tokens = 512, 60_697
    torch.manual_seed(0)
    shapes = {"encoder.embedding.weight": (tokens, width), "flag_encoder.weight": (2, width)}
    shapes |= {"value_encoder.linear1.weight": (width, 1), "value_encoder.linear1.bias": (width,)}
    square = ["value_encoder.linear2", "decoder.fc.0", "decoder.fc.2", "mvc_decoder.gene2query"]
    norms = ["encoder.enc_norm", "value_encoder.norm"]
    for layer in range(12):
        at = f"transformer_encoder.layers.{layer}."
        shapes |= {f"{at}self_attn.Wqkv.weight": (3 * width, width), f"{at}self_attn.Wqkv.bias": (3 * width,)}
        square += [f"{at}{name}" for name in ("self_attn.out_proj", "linear1", "linear2")]
        norms += [f"{at}norm1", f"{at}norm2"]
    for name in square:
        shapes |= {f"{name}.weight": (width, width), f"{name}.bias": (width,)}
    shapes |= {"decoder.fc.4.weight": (1, width), "decoder.fc.4.bias": (1,), "mvc_decoder.W.weight": (width, width)}
    state = {name: torch.randn(shape) * 0.04 for name, shape in shapes.items()}
    state |= {f"{name}.weight": torch.ones(width) for name in norms} | {
        f"{name}.bias": torch.zeros(width) for name in norms
    }
    folder.mkdir()
    torch.save(state, folder / "best_model.pt")
    names = {"embsize": width, "nheads": 8, "d_hid": width, "nlayers": 12, "pad_value": -2}
    (folder / "args.json").write_text(json.dumps(names))
    (folder / "vocab.json").write_text(json.dumps({f"GENE{row}": row for row in range(tokens - 3)}))


def scgpt(folder: Path) -> tuple[Path, float, float]:
    """Its artifact with 256 context genes and the mvc readout; seconds and megabytes of the export."""
    from ugrn.export.bundle import add_translator

    write_scgpt(folder / "checkpoint")
    (folder / "context.txt").write_text("".join(f"GENE{row}\n" for row in range(256)))
    artifact = folder / "scgpt"
    command = ["export", "scgpt", str(folder / "checkpoint"), "-o", str(artifact), "--readout", "mvc"]
    seconds, megabytes = timed([*command, "--context", str(folder / "context.txt")])
    bundled = open_artifact(bundled_artifact())
    add_translator(artifact, bundled.translator, bundled.manifest.metrics)
    return artifact, seconds, megabytes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--backbone", choices=["mini", "scgpt"], default="mini")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores; onnxruntime {import_onnxruntime().__version__}"
    print(f"{arguments.backbone} on {machine}; medians of {arguments.runs} runs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.backbone == "scgpt":
            artifact, seconds, megabytes = scgpt(folder)
            size = sum(path.stat().st_size for path in artifact.iterdir()) / 1e6
            print(f"export: {seconds:.0f} s, peak resident {megabytes:.0f} MB; artifact {size:.0f} MB")
            sizes = [(10, 2_000), (100, 1_000)]
        else:
            artifact, sizes = bundled_artifact(), [(10, 100), (100, 1_000), (1_000, 1_000)]
        rows = [measure(artifact, *size, arguments.runs, folder) for size in sizes]
    print("| pairs | sources | seconds | pairs/s | peak resident MB |\n|---|---|---|---|---|")
    for row in rows:
        print("| {pairs:,} | {sources:,} | {seconds:.2f} | {pairs_per_s:,.0f} | {rss_mb:.0f} |".format(**row))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
