"""Made expression whose structure is known."""

from __future__ import annotations

import numpy as np

SYMBOLS = [f"GENE{i}" for i in range(40)]


def planted(rows: int, seed: int) -> np.ndarray:
    """Expression of three drivers: GENE0, GENE6, … rise with the first and GENE3, GENE9, … fall with it."""
    rng = np.random.default_rng(seed)
    index = np.arange(40)
    sign = np.where((index // 3) % 2 == 0, 1, -1)
    values = 4 + sign * rng.normal(size=(rows, 3))[:, index % 3] + 0.3 * rng.normal(size=(rows, 40))
    return np.maximum(values, 0.01).astype(np.float32)
