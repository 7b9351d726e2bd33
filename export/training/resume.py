"""The state of a training run on disk, from which a stopped run goes on, and the learning rate of a step."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ugrn.runtime.errors import InputError
from ugrn.runtime.files.atomic import replace_with

WARM_STEPS = 500


@dataclass(frozen=True)
class ResumeFile:
    """The state of an unfinished run.

    Attributes:
        path: where it is written.
        settings: all that decides the run; the state of another run is refused.
    """

    path: Path
    settings: str

    def load(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        """Load the state, where there is one; returns the step to go on from.

        Raises:
            InputError: the state is of a run with other settings.
        """
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True)
        if state["settings"] != self.settings:
            message = (
                f"{self.path}: an unfinished run with other settings or data was found; delete the file to start "
                "anew, or run with the settings it was started with"
            )
            raise InputError(message)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])

    def save(self, model: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
        """Write the state after `step` steps; its folder is made where it is missing."""
        self.path.parent.mkdir(exist_ok=True)
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
        replace_with(self.path, partial(torch.save, state | {"settings": self.settings}))


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over a tenth of the run (`WARM_STEPS` at most), then a cosine to zero."""
    warm = max(1, min(WARM_STEPS, steps // 10))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def digest(*arrays: NDArray[Any]) -> str:
    """Hash of some arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()
