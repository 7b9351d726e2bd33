"""Lean runtime: score gene pairs with an exported artifact (numpy, h5py, polars, onnxruntime, threadpoolctl only).

from ugrn.runtime import load
edges = load().score([("POU5F1", "NANOG"), ("GATA1", "KLF1")])
"""

from .artifact.folder import Artifact, open_artifact
from .artifact.library import bundled_artifact, find_artifact
from .artifact.manifest import Manifest
from .engine.session import RuntimeSettings
from .errors import (
    ArtifactError,
    GeneListError,
    InputError,
    MissingExtraError,
    PairListError,
    ProviderError,
    UgrnError,
)
from .files.pandas_frames import to_pandas
from .runs.network import NetworkSettings, NetworkSummary
from .runs.score import ScoreSettings, Summary
from .scorer import Scorer, load

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
