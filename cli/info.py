"""``ugrn info``: a summary of an artifact."""

from __future__ import annotations

from typing import Annotated

import typer

from ugrn.runtime import find_artifact

HELP = """Say what an artifact is: backbone, probe, parity, validation, licence; checks every file.

Examples:

    ugrn info

    ugrn info my-artifact --json
"""


def command(
    artifact: Annotated[
        str | None, typer.Argument(help="Artifact, as for --artifact of ugrn score; the bundled one if left out.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as it stands.")] = False,
) -> None:
    opened = find_artifact(artifact)
    if json:
        typer.echo((opened.folder / "artifact.json").read_text(encoding="utf-8"), nl=False)
        return
    manifest = opened.manifest
    deviations = [v for outputs in manifest.parity.get("deviation", {}).values() for v in outputs.values()]
    size = sum(entry["size"] for entry in manifest.files.values()) / 1e6
    lines = {
        "folder": str(opened.folder),
        "backbone": f"{manifest.backbone} ({len(opened.names):,} genes; weights under {manifest.licence})",
        "probe": f"readout {manifest.readout}, gradient {manifest.gradient}, baseline {manifest.baseline:g}",
        "levels": f"VVP {_levels(manifest.vvp_levels)}; GDT {_levels(manifest.gdt_levels)}",
        "units": manifest.units,
        "context": f"{len(opened.context)} genes",
        "parity": f"within {max(deviations):.0e} of float64 autograd" if deviations else "not recorded",
        "translator": _translator(manifest.metrics),
        "sha256": opened.digest,
        "files": f"{len(manifest.files)}, {size:.1f} MB, all verified",
    }
    for name, text in lines.items():
        typer.echo(f"{name:<11}{text}")


def _levels(levels: tuple[float, ...]) -> str:
    return " ".join(f"{level:g}" for level in levels)


def _translator(metrics: dict[str, dict[str, float]]) -> str:
    if "ensemble" not in metrics:
        return "none yet; run ugrn train"
    return (
        f"validation AUPRC {metrics['ensemble']['validation_auprc']:.3f} "
        f"({metrics['settings']['negatives']} negatives, chance 0.5), trained on {metrics.get('network', 'a network')}"
    )
