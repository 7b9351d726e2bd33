"""Artifacts of earlier formats open for ever, and score as they did."""

from __future__ import annotations

import polars as pl
from polars.testing import assert_frame_equal

from tests.helpers.archive import FORMAT_1, PAIRS, SCORES, scores
from ugrn.runtime import load


def test_format_1_scores_as_it_did() -> None:
    kept = pl.read_csv(SCORES)
    assert kept.height == len(PAIRS)
    assert_frame_equal(scores(FORMAT_1), kept, check_dtypes=False, rel_tol=1e-4, abs_tol=1e-6)


def test_all_that_format_1_holds_is_read() -> None:
    artifact = load(FORMAT_1).artifact
    assert (artifact.manifest.format, artifact.manifest.licence) == (1, "a licence")
    assert artifact.names.ids(["OLDNAME", "GENE5"]).tolist() == [5, 5]
    assert [artifact.names.symbols[gene] for gene in artifact.context] == ["GENE3", "GENE7", "GENE50"]
    assert artifact.manifest.metrics["ensemble"] == {"validation_auprc": 0.6}
