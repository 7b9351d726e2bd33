"""The translator: probe features of a pair to the probability that the source regulates the target.

One small MLP per probe, the mean of their logits (UGRN, arXiv 2605.08128, "Ensemble"), a calibration map, and
an optional shift from the training prevalence to an expected edge density. As an option of the artifact, a third
part joins the mean: a weighted inner product of the two genes' embeddings (the paper's Emb adds the two embeddings,
which forgets the pair).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..errors import ArtifactError, InputError
from .mlp import Mlp

CalibrationKind = Literal["none", "temperature", "platt", "isotonic"]
PROBES = ("vvp", "gdt")
EMB = "emb"
CHUNK = 2048  # pairs whose embeddings are gathered at once: they stay in the cache


@dataclass(frozen=True)
class Product:
    """A weighted inner product of two genes' embeddings x and y: logit = sum_e weight_e x_e y_e + bias.

    Attributes:
        weight: ``[E]``.
        bias: ``[1]``.
    """

    weight: Array
    bias: Array

    def logits(self, products: Array) -> Array:
        """Elementwise products ``[N, E]`` of embeddings to logits ``[N]``."""
        out: Array = products @ self.weight + self.bias[0]
        return out

    def of_pairs(self, embeddings: NDArray[Any], sources: NDArray[Any], targets: NDArray[Any]) -> Array:
        """The logits ``[N]`` of pairs given by rows of `embeddings` ``[V, E]``."""
        out = np.empty(len(sources), np.float32)
        if len(sources) > len(embeddings):  # every gene is converted once, and not for each of its pairs
            embeddings = embeddings.astype(np.float32)
        for first in range(0, len(sources), CHUNK):
            rows = slice(first, first + CHUNK)
            left, right = (embeddings[ids[rows]].astype(np.float32, copy=False) for ids in (sources, targets))
            out[rows] = self.logits(np.multiply(left, right, out=left))
        return out

    def of_all(self, left: Array, right: Array) -> Array:
        """The logits ``[S, Q]`` of every source with every target, from their embeddings ``[S, E]`` and ``[Q, E]``."""
        out: Array = np.matmul(left * self.weight, right.T)
        np.add(out, self.bias[0], out=out)
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
    """Features into probabilities.

    Attributes:
        mlps: by probe name.
        calibration: of the mean logit.
        prevalence: share of edges it was trained on.
        product: of gene embeddings, where they join the probes.
        shares: weight of each part in the mean, summing to one; the same for all where None.
    """

    mlps: Mapping[str, Mlp]
    calibration: Calibration
    prevalence: float
    product: Product | None = None
    shares: Mapping[str, float] | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that the mean is taken over."""
        return (*self.mlps, *((EMB,) if self.product is not None else ()))

    def logits(self, features: Mapping[str, Array]) -> dict[str, Array]:
        """Uncalibrated logits ``[N]`` of every probe, from its features ``[N, F]``."""
        return {probe: mlp.logits(features[probe]) for probe, mlp in self.mlps.items()}

    def probabilities(self, logits: Mapping[str, Array], prior: float | None = None) -> Array:
        """Calibrated ensemble probabilities ``[N]``.

        Args:
            logits: of every part, ``[N]`` each.
            prior: expected share of edges among the scored pairs; the training prevalence where None
                (shift of the log odds, Saerens et al. 2002).

        Raises:
            InputError: `prior` does not lie between 0 and 1.
        """
        score = self.calibration(self.mean(logits))
        self.check_prior(prior)
        if prior is not None:
            score = score + np.float32(_log_odds(prior) - _log_odds(self.prevalence))
        return sigmoid(score)

    def mean(self, logits: Mapping[str, Array]) -> Array:
        """The weighted mean ``[N]`` of the parts' logits."""
        shares = self.shares or {part: 1.0 / len(self.parts) for part in self.parts}
        stacked = np.stack([np.float32(shares[part]) * logits[part] for part in self.parts])
        return np.asarray(stacked.sum(0), np.float32)

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
    """Logistic function of ``[N]`` values, without overflow and without flat ends."""
    small = np.exp(-np.abs(x.astype(np.float64)))
    return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small)).astype(np.float32)


def logit(p: Array) -> Array:
    """Inverse of `sigmoid` for ``[N]`` values, finite at 0 and 1."""
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
    if translator.shares is not None:
        arrays["shares"] = np.array([translator.shares[part] for part in translator.parts], np.float32)
    if translator.product is not None:
        arrays |= {"emb.weight": translator.product.weight, "emb.bias": translator.product.bias}
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
            product = Product(arrays["emb.weight"], arrays["emb.bias"]) if "emb.weight" in arrays else None
            shares = [float(share) for share in arrays["shares"]] if "shares" in arrays else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        message = f"{path}: not a readable translator ({error}); run 'ugrn train' on the artifact again"
        raise ArtifactError(message) from error
    if set(mlps) != set(PROBES) or kind not in ("none", "temperature", "platt", "isotonic"):
        message = (
            f"{path}: found probes {sorted(mlps)} and calibration {kind!r}; expected {list(PROBES)} and one of "
            "none, temperature, platt, isotonic; run 'ugrn train' on the artifact again"
        )
        raise ArtifactError(message)
    translator = Translator(mlps, calibration, prevalence, product)
    if shares is None:
        return translator
    if len(shares) != len(translator.parts):
        message = f"{path}: {len(shares)} weights for {translator.parts}; run 'ugrn train' on the artifact again"
        raise ArtifactError(message)
    return replace(translator, shares=dict(zip(translator.parts, shares, strict=True)))


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
