"""Lean runtime: score gene pairs with an exported artifact (numpy, h5py, polars, onnxruntime only).

from ugrn.runtime import load
edges = load().score([("POU5F1", "NANOG"), ("GATA1", "KLF1")])
"""

from .artifact import Artifact, Manifest, open_artifact
from .errors import (
    ArtifactError,
    InputError,
    MissingExtraError,
    PairListError,
    ProviderError,
    UgrnError,
)
from .scoring import Scorer, ScoreSettings, Summary, bundled_artifact, load
from .session import RuntimeSettings

__all__ = [
    "Artifact",
    "ArtifactError",
    "InputError",
    "Manifest",
    "MissingExtraError",
    "PairListError",
    "ProviderError",
    "RuntimeSettings",
    "ScoreSettings",
    "Scorer",
    "Summary",
    "UgrnError",
    "bundled_artifact",
    "load",
    "open_artifact",
]
