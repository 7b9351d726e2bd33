"""Small random translators and embeddings, and what goes with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ugrn.runtime.translator.mlp import Mlp
from ugrn.runtime.translator.translator import Calibration, Product, Translator

GENES = 60
CONTEXT = ("GENE3", "GENE7", "GENE50")
METRICS: dict[str, Any] = {
    "vvp": {"validation_auprc": 0.6},
    "gdt": {"validation_auprc": 0.6},
    "ensemble": {"validation_auprc": 0.6},
    "calibration": {
        "kind": "platt",
        "before": {"ece": 0.1, "brier": 0.25},
        "after": {"ece": 0.05, "brier": 0.24},
    },
    "pairs": {"all_edges": 3, "train_edges": 1, "validation_edges": 1},
    "settings": {"negatives": "degree-aware"},
}


def make_translator(seed: int = 0) -> Translator:
    """A random translator of VVP and GDT."""
    rng = np.random.default_rng(seed)

    def mlp() -> Mlp:
        shapes = ((8, 6), (6, 1))
        return Mlp(
            rng.normal(size=8).astype(np.float32),
            rng.uniform(0.5, 2, 8).astype(np.float32),
            tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes),
            tuple(rng.normal(size=shape[1]).astype(np.float32) for shape in shapes),
        )

    one = np.ones(1, np.float32)
    return Translator({"vvp": mlp(), "gdt": mlp()}, Calibration("platt", 0.8 * one, 0.1 * one), 0.5)


def make_table() -> np.ndarray:
    """Embeddings ``[GENES, 7]`` of the genes."""
    return np.random.default_rng(8).normal(size=(GENES, 7)).astype(np.float16)


def make_joined_translator() -> Translator:
    """The random translator with a third part that reads products of the embeddings."""
    rng = np.random.default_rng(4)
    product = Product(rng.normal(size=make_table().shape[1]).astype(np.float32), np.array([0.3], np.float32))
    return replace(make_translator(), product=product, shares={"vvp": 0.1, "gdt": 0.2, "emb": 0.7})
