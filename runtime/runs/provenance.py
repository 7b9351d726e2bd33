"""The fingerprint of a run, and the files beside its result: the JSON record and the rejects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from ..arrays import Codes
from ..artifact.folder import Artifact
from ..engine.session import RuntimeSettings, import_onnxruntime
from ..files.atomic import replace_with
from ..files.outputs import rejects_path, sidecar_path


def versions() -> dict[str, str]:
    """Versions of the packages that scores depend on."""
    packages = {name: version(name) for name in ("ugrn", "numpy", "h5py", "polars")}
    return packages | {"onnxruntime": str(import_onnxruntime().__version__)}


def fingerprint(
    artifact: Artifact,
    settings: RuntimeSettings,
    asked: Sequence[Any],
    genes: Iterable[str],
    codes: Iterable[Codes],
) -> str:
    """Hash of all that decides the bytes of a run: artifact, versions, settings, names, and pairs as codes ``[N]``."""
    decides = [artifact.digest, versions(), asdict(settings), *asked]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    digest.update("\n".join(genes).encode())
    for each in codes:
        digest.update(each.tobytes())
    return digest.hexdigest()


def write_sidecar(output: Path, artifact: Artifact, metadata: Mapping[str, Any], seconds: float) -> None:
    """Write ``<output>.json``: artifact, versions, settings and counts as `metadata` has them, and the time it took."""
    whole = {
        "artifact": {"backbone": artifact.manifest.backbone, "sha256": artifact.digest},
        "versions": versions(),
        **metadata,
        "wall_seconds": seconds,
    }
    replace_with(sidecar_path(output), lambda part: part.write_text(json.dumps(whole, indent=2) + "\n"))


def write_rejects(rejects: pl.DataFrame | None, output: Path) -> Path | None:
    """Write ``<output>.rejects.csv`` beside the output, where there are rejects; else delete an earlier run's."""
    path = rejects_path(output)
    if rejects is None:
        path.unlink(missing_ok=True)
        return None
    replace_with(path, rejects.write_csv)
    return path
