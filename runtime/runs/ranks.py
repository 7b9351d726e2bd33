"""Ranks by a weight that another method gave to the pairs, merged with the ranks by our probability.

The merged rank is the mean of the two, as in the community networks of Marbach et al., "Wisdom of crowds for robust
gene network inference", Nature Methods 9 (2012) 796-804, which average the ranks of an edge over the methods.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from ..arrays import Array
from ..errors import PairListError
from ..genes.pairs import ResolvedPairs

WEIGHTS = ("importance", "weight", "score")


def weight_column(resolved: ResolvedPairs, rank: bool | str) -> str | None:
    """Name of the column whose ranks are merged with those of the probability; None where no ranks are asked for.

    Args:
        resolved: the pair list.
        rank: the name; True takes the first of importance, weight and score that the list has.

    Raises:
        PairListError: there is no such column, or it does not hold a number for every pair that will be scored.
    """
    if rank is False:
        return None
    extra = resolved.pairs.extra
    folded = {name.lower(): name for name in reversed(extra.columns)}
    found = [folded[name] for name in WEIGHTS if name in folded] if rank is True else [rank]
    if not found or found[0] not in extra.columns:
        expected = f"a column named {', '.join(WEIGHTS[:-1])} or {WEIGHTS[-1]}" if rank is True else repr(rank)
        message = (
            f"no column to rank by: beside source and target the list has {extra.columns or 'none'}; expected "
            f"{expected}; name one of the list's with --rank-by COLUMN (rank='COLUMN' in Python)"
        )
        raise PairListError(message)
    column = extra[found[0]]
    rows = resolved.accepted_rows()
    values = column.gather(rows).cast(pl.Float64, strict=False)
    missing = np.flatnonzero((values.is_null() | values.is_nan()).fill_null(True).to_numpy())
    if len(missing):
        message = (
            f"column {column.name!r} cannot be ranked: {len(missing)} pairs have no number in it, the first is row "
            f"{rows[missing[0]] + 1}; expected one for every pair: fill them in, or take these pairs out"
        )
        raise PairListError(message)
    return column.name


def merged_ranks(weight: pl.Series, probability: Array) -> list[pl.Series]:
    """Ranks of n pairs, 1 the strongest, equal ones sharing their mean rank.

    Args:
        weight: ``[n]``; the sign of a weight says activation or repression, so the absolute value counts.
        probability: ``[n]``.

    Returns:
        ``rank_<weight>``, ``rank_probability`` and ``rank_merged``, the mean of the two.
    """
    both = weight.cast(pl.Float64).abs(), pl.Series(probability)
    theirs, ours = (values.rank("average", descending=True) for values in both)
    merged = (theirs + ours) / 2
    return [theirs.alias(f"rank_{weight.name}"), ours.alias("rank_probability"), merged.alias("rank_merged")]
