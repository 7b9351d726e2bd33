"""Negatives for a network: pairs that are not edges, drawn in one of three ways.

``random`` draws source and target anew; ``same-source`` keeps each edge's source and draws the target
uniformly; ``degree-aware`` keeps the source and draws the target in proportion to its in-degree among the
edges. Only the last leaves a model that merely knows which genes are hubs with nothing to gain.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from ugrn.runtime.arrays import Ids
from ugrn.runtime.errors import InputError

Regime = Literal["random", "same-source", "degree-aware"]
REGIMES: tuple[Regime, ...] = get_args(Regime)
ROUNDS = 50


def draw_negatives(
    edges: Ids,
    genes: Ids,
    regime: Regime,
    rng: np.random.Generator,
    known: Ids | None = None,
    sources: Ids | None = None,
) -> Ids:
    """Draw one negative per edge.

    Args:
        edges: ``[E, 2]`` ids of source and target.
        genes: ``[G]`` candidate targets.
        regime: how to draw.
        rng: random generator.
        known: further true edges ``[*, 2]`` that may not be drawn.
        sources: candidate sources of the regime ``random``; those of the edges where None.

    Returns:
        Up to E distinct pairs ``[N, 2]``, none of them an edge or a self-pair; fewer than E where a
        source has too few free targets left.

    Raises:
        InputError: `regime` is not one of `REGIMES`.
    """
    if regime not in REGIMES:
        message = f"negatives {regime!r} are not known; expected one of {', '.join(REGIMES)}"
        raise InputError(message)
    others = [each.max() for each in (known, sources) if each is not None and each.size]
    span = int(max(edges.max(), genes.max(), *others)) + 1
    taken = set(_keys(edges if known is None else np.concatenate([edges, known]), span).tolist())
    targets, share = genes, None
    if regime == "degree-aware":
        targets, degree = np.unique(edges[:, 1], return_counts=True)
        share = degree / degree.sum()
    listed = np.unique(edges[:, 0]) if sources is None else sources
    waiting = np.sort(edges[:, 0])
    drawn: list[int] = []
    for _ in range(ROUNDS):
        if len(waiting) == 0:
            break
        if regime == "random":
            waiting = rng.choice(listed, len(waiting))
        pairs = np.stack([waiting, rng.choice(targets, len(waiting), p=share)], axis=1)
        free = np.zeros(len(pairs), bool)
        for row, key in enumerate(_keys(pairs, span).tolist()):
            if key not in taken and pairs[row, 0] != pairs[row, 1]:
                taken.add(key)
                drawn.append(key)
                free[row] = True
        waiting = waiting[~free]
    keys = np.array(drawn, dtype=np.int64)
    return np.stack([keys // span, keys % span], axis=1)


def _keys(pairs: Ids, span: int) -> Ids:
    return pairs[:, 0].astype(np.int64) * span + pairs[:, 1]
