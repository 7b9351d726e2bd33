"""Random checkpoints in the genuine formats of every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import geneformer, scbenchmark, scbert, scfoundation, scgpt

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "scgpt": lambda folder: scgpt.write(folder, scgpt.make_state("human")),
    "scbenchmark": lambda folder: scbenchmark.write(folder, scbenchmark.make(16), 16),
    "scfoundation": lambda folder: scfoundation.write(folder, scfoundation.make()),
    "scbert": lambda folder: scbert.write(folder, scbert.make()),
    "geneformer": lambda folder: geneformer.write(folder, geneformer.make("V1"), "V1")[0],
}
