"""The translator: probe features of a pair to the probability that the source regulates the target.

One small MLP per probe, the mean of their logits (UGRN, arXiv 2605.08128, "Ensemble"), a calibration map, and
an optional shift from the training prevalence to an expected edge density.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from .errors import ArtifactError, InputError

Array = NDArray[np.float32]
CalibrationKind = Literal["none", "temperature", "platt", "isotonic"]
PROBES = ("vvp", "gdt")


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron with tanh units over robustly scaled features.

    Attributes:
        centre, scale: ``[F]``; a feature x enters as asinh((x - centre) / scale), which tames heavy tails.
        weights: matrices ``[in, out]``, the last one ``[in, 1]``.
        biases: vectors ``[out]``.
    """

    centre: Array
    scale: Array
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def logits(self, features: Array) -> Array:
        """Features ``[N, F]`` to logits ``[N]``."""
        x = np.arcsinh((features - self.centre) / self.scale)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.tanh(x @ weight + bias)
        out: Array = (x @ self.weights[-1] + self.biases[-1])[:, 0]
        return out


@dataclass(frozen=True)
class Calibration:
    """A monotone map from logit to calibrated logit.

    ``temperature`` and ``platt``: ``x[0] * logit + y[0]`` (Platt 1999; Guo et al. 2017, arXiv 1706.04599);
    ``isotonic``: probabilities `y` at logits `x`, linear between (Zadrozny and Elkan 2002).
    """

    kind: CalibrationKind
    x: Array
    y: Array

    def __call__(self, logits: Array) -> Array:
        """Logits ``[N]`` to calibrated logits ``[N]``."""
        if self.kind == "none":
            return logits
        if self.kind == "isotonic":
            return logit(np.interp(logits, self.x, self.y).astype(np.float32))
        return np.asarray(logits * self.x[0] + self.y[0], np.float32)


@dataclass(frozen=True)
class Translator:
    """MLPs by probe name, calibration of their mean logit, and the share of edges they were trained on."""

    mlps: Mapping[str, Mlp]
    calibration: Calibration
    prevalence: float

    def logits(self, features: Mapping[str, Array]) -> dict[str, Array]:
        """Uncalibrated logits ``[N]`` of every probe, from its features ``[N, F]``."""
        return {probe: mlp.logits(features[probe]) for probe, mlp in self.mlps.items()}

    def probabilities(self, logits: Mapping[str, Array], prior: float | None = None) -> Array:
        """Calibrated ensemble probabilities ``[N]``.

        Args:
            logits: of every probe, ``[N]`` each.
            prior: expected share of edges among the scored pairs; the training prevalence where None
                (shift of the log odds, Saerens et al. 2002).

        Raises:
            InputError: `prior` does not lie between 0 and 1.
        """
        score = self.calibration(np.mean([logits[probe] for probe in self.mlps], axis=0, dtype=np.float32))
        self.check_prior(prior)
        if prior is not None:
            score = score + np.float32(_log_odds(prior) - _log_odds(self.prevalence))
        return sigmoid(score)

    @staticmethod
    def check_prior(prior: float | None) -> None:
        """Refuse a prior that is no share.

        Raises:
            InputError: `prior` does not lie between 0 and 1.
        """
        if prior is not None and not 0.0 < prior < 1.0:
            message = f"prior {prior} is not a share of edges; expected a number between 0 and 1, e.g. 0.01"
            raise InputError(message)


def sigmoid(x: Array) -> Array:
    """Logistic function, without overflow and without flat ends."""
    small = np.exp(-np.abs(x.astype(np.float64)))
    return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small)).astype(np.float32)


def logit(p: Array) -> Array:
    """Inverse of `sigmoid`, finite at 0 and 1."""
    p = np.clip(p, np.float32(1e-6), np.float32(1 - 1e-6))
    return np.asarray(np.log(p / (1 - p)), np.float32)


def save_translator(translator: Translator, path: Path) -> None:
    """Write ``translator.npz``."""
    calibration = translator.calibration
    arrays: dict[str, Any] = {
        "probes": np.array(list(translator.mlps)),
        "calibration.kind": np.array(calibration.kind),
        "calibration.x": calibration.x,
        "calibration.y": calibration.y,
        "prevalence": np.array(translator.prevalence),
    }
    for probe, mlp in translator.mlps.items():
        arrays |= {f"{probe}.centre": mlp.centre, f"{probe}.scale": mlp.scale}
        for index, (weight, bias) in enumerate(zip(mlp.weights, mlp.biases, strict=True)):
            arrays |= {f"{probe}.weight{index}": weight, f"{probe}.bias{index}": bias}
    with path.open("wb") as file:
        np.savez(file, **arrays)


def load_translator(path: Path) -> Translator:
    """Read ``translator.npz``; nothing is unpickled.

    Raises:
        ArtifactError: the file is not a translator.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mlps = {str(probe): _read_mlp(arrays, str(probe)) for probe in arrays["probes"]}
            kind = str(arrays["calibration.kind"])
            calibration = Calibration(kind, arrays["calibration.x"], arrays["calibration.y"])  # type: ignore[arg-type]
            prevalence = float(arrays["prevalence"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        message = f"{path}: not a readable translator ({error}); run 'ugrn train' on the artifact again"
        raise ArtifactError(message) from error
    if set(mlps) != set(PROBES) or kind not in ("none", "temperature", "platt", "isotonic"):
        message = (
            f"{path}: found probes {sorted(mlps)} and calibration {kind!r}; expected {list(PROBES)} and one of "
            "none, temperature, platt, isotonic; run 'ugrn train' on the artifact again"
        )
        raise ArtifactError(message)
    return Translator(mlps, calibration, prevalence)


def _read_mlp(arrays: Mapping[str, Array], probe: str) -> Mlp:
    depth = sum(f"{probe}.weight{index}" in arrays for index in range(100))
    return Mlp(
        arrays[f"{probe}.centre"],
        arrays[f"{probe}.scale"],
        tuple(arrays[f"{probe}.weight{index}"] for index in range(depth)),
        tuple(arrays[f"{probe}.bias{index}"] for index in range(depth)),
    )


def _log_odds(p: float) -> float:
    return float(np.log(p / (1.0 - p)))
