"""The blocks of a run: each computed once, in its turn, unless there is a shard of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import pytest

from ugrn.runtime.runs.file_run import finish_blocks
from ugrn.runtime.runs.store import Arrays

ENDS = [3, 5, 9, 10]


class Blocks:
    """Blocks that hold their number, and notes on the turns of those that are computed or resumed."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, int]] = []

    def compute(self, missing: Sequence[int]) -> Generator[Arrays, None, None]:
        try:
            for index in missing:
                self.turns.append(("computed", index))
                yield {"number": np.array([index])}
        finally:
            self.turns.append(("closed", len(missing)))

    def resume(self, arrays: Arrays) -> None:
        self.turns.append(("resumed", int(arrays["number"][0])))


def test_blocks_without_a_shard_are_computed_in_their_turn() -> None:
    blocks, calls = Blocks(), list[tuple[int, int]]()
    shards: dict[int, Arrays] = {index: {"number": np.array([index])} for index in (0, 2)}
    finish_blocks(shards, ENDS, blocks.compute, lambda *call: calls.append(call), blocks.resume)
    assert blocks.turns == [("resumed", 0), ("computed", 1), ("resumed", 2), ("computed", 3), ("closed", 2)]
    assert calls == [(ENDS[1], 10), (ENDS[3], 10)]
    assert [int(shards[index]["number"][0]) for index in range(4)] == [0, 1, 2, 3]


def test_a_run_that_is_stopped_keeps_what_is_finished() -> None:
    blocks, shards = Blocks(), dict[int, Arrays]()

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish_blocks(shards, ENDS, blocks.compute, stop)
    assert blocks.turns == [("computed", 0), ("computed", 1), ("closed", 4)]
    assert [index in shards for index in range(4)] == [True, True, False, False]
