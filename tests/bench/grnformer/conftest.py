"""Small made data sets of the three tasks."""

from __future__ import annotations

import numpy as np
import pytest
from bench.grnformer.data import DrugClass, DrugResponse, Perturbations


@pytest.fixture
def perturbations(random: np.random.Generator) -> Perturbations:
    """Twelve perturbations of thirty genes, a tenth of the changes not measured."""
    change = random.normal(size=(12, 30)) + 2 * random.normal(size=30)
    change[random.random(change.shape) < 0.1] = np.nan
    change[:, 0] = np.nan  # a gene that was never measured
    genes = [f"GENE{row}" for row in range(30)]
    return Perturbations("made", genes[20:29] + ["A", "B", "C"], genes, change.astype(np.float32), None, ())


@pytest.fixture
def response(random: np.random.Generator) -> DrugResponse:
    """Twenty lines and eleven drugs, of which two are the same molecule; four fifths of the pairs measured."""
    expression = random.normal(size=(20, 9))
    bits = (random.random((11, 1024)) < 0.1).astype(np.float32)
    bits[10] = bits[0]
    line, drug = (each.ravel() for each in np.meshgrid(np.arange(20), np.arange(11), indexing="ij"))
    kept = np.sort(random.permutation(220)[:176])
    line, drug = line[kept].astype(np.int64), drug[kept].astype(np.int64)
    known = 3 * random.normal(size=11)[drug] + expression[line, drug % 9] + random.normal(size=len(kept))
    return DrugResponse(
        "made",
        [f"line {row}" for row in range(20)],
        [f"GENE{row}" for row in range(9)],
        expression.astype(np.float32),
        ["lung"] * 20,
        [f"drug {row}" for row in range(11)],
        bits,
        line,
        drug,
        known.astype(np.float32),
        (),
    )


@pytest.fixture
def cells(random: np.random.Generator) -> DrugClass:
    """Two hundred cells of four patients; the first gene tells the treated ones."""
    label = random.random(200) < 0.4
    expression = np.abs(random.normal(size=(200, 6)))
    expression[:, 0] += 2 * label
    totals = random.integers(200, 2000, 200)
    return DrugClass(
        "made",
        [f"GENE{row}" for row in range(6)],
        expression.astype(np.float32),
        totals.astype(np.float32),
        label,
        [f"patient {row}" for row in random.integers(4, size=200)],
        (),
    )
