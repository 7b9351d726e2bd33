"""Kinds of arrays that many modules name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
Codes = NDArray[np.int32]
"""Places in a list of names; -1 stands for none."""
Ids = NDArray[np.int64]
"""Rows of a vocabulary."""
