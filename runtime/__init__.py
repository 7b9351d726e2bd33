"""Lean runtime: score gene pairs with an exported artifact (numpy, h5py, polars, onnxruntime, threadpoolctl only).

from ugrn.runtime import load
edges = load().score([("POU5F1", "NANOG"), ("GATA1", "KLF1")])
"""

from .artifact import Artifact, Manifest, open_artifact
from .errors import (
    ArtifactError,
    GeneListError,
    InputError,
    MissingExtraError,
    PairListError,
    ProviderError,
    UgrnError,
)
from .library import bundled_artifact, find_artifact
from .network import NetworkSettings
from .network_run import NetworkSummary
from .pandas_frames import to_pandas
from .run import ScoreSettings, Summary
from .scoring import Scorer, load
from .session import RuntimeSettings

__all__ = [
    "Artifact",
    "ArtifactError",
    "GeneListError",
    "InputError",
    "Manifest",
    "MissingExtraError",
    "NetworkSettings",
    "NetworkSummary",
    "PairListError",
    "ProviderError",
    "RuntimeSettings",
    "ScoreSettings",
    "Scorer",
    "Summary",
    "UgrnError",
    "bundled_artifact",
    "find_artifact",
    "load",
    "open_artifact",
    "to_pandas",
]
