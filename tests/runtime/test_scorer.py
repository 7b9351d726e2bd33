"""The face of the runtime: its warnings, and the default that documents name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ugrn.cli.options import MemoryMb
from ugrn.runtime import PairListError, load
from ugrn.runtime.engine.session import CPU_BUDGET_MB

ROOT = Path(__file__).resolve().parents[2]


def test_pairs_left_out_are_warned_of(artifact: Path) -> None:
    with pytest.warns(UserWarning, match="1 of 3 pairs were not scored: 1 self-pair"):
        frame = load(artifact).score([("GENE1", "GENE2"), ("GENE1", "GENE1"), ("OldName", "gene2")])
    assert frame["source"].to_list() == ["GENE1", "OldName"]
    with pytest.raises(PairListError, match=r"NOPE.*none is left"):
        load(artifact).score([("NOPE", "GENE1")])


def test_the_memory_budget_is_the_same_number_everywhere() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    texts = [path.read_text(encoding="utf-8") for path in documents]
    texts += [str(load.__doc__), str(MemoryMb.__metadata__[0].help)]  # type: ignore[attr-defined]
    named = [re.findall(r"([\d,.]+)(?: MiB)?\s+on\s+the\s+CPU", text) for text in texts]
    assert all(each for each in named[-2:])
    assert {int(number.replace(",", "")) for each in named for number in each} == {CPU_BUDGET_MB}
    assert f"The memory budget on a CPU is {CPU_BUDGET_MB >> 10} GiB" in (ROOT / "CHANGELOG.md").read_text("utf-8")
