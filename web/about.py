"""Texts of a report about the artifact and the run: facts, the card's limits, the settings of the sidecar."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.outputs import sidecar_path

from .document import markdown_parser

CARD = "MODEL_CARD.md"


def read_sidecar(result: Path) -> dict[str, Any]:
    """The facts beside a result, empty where there are none.

    Raises:
        InputError: the file beside it is no such record.
    """
    path = sidecar_path(result)
    if not path.is_file():
        return {}
    try:
        metadata = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"{path}: not readable as the record of a run ({error}); restore it, or move it away"
        raise InputError(message) from error
    if not isinstance(metadata, dict):
        message = f"{path}: found {type(metadata).__name__}, expected the record of a run; restore it, or move it away"
        raise InputError(message)
    return metadata


def made_with(sidecar: Mapping[str, Any]) -> tuple[str, str]:
    """Backbone and digest of the artifact that a result was made with; empty where that is not recorded."""
    artifact = sidecar.get("artifact")
    recorded = artifact if isinstance(artifact, dict) else {}
    return str(recorded.get("backbone", "")), str(recorded.get("sha256", ""))


def prior_text(sidecar: Mapping[str, Any]) -> str:
    """The prior of a result, as a part of a sentence."""
    settings = sidecar.get("settings")
    if not isinstance(settings, dict) or "prior" not in settings:
        return "the prior it was shifted to, which is not recorded here"
    prior = settings["prior"]
    return (
        "the share of edges in that training, for no prior was stated" if prior is None else f"the stated prior {prior}"
    )


def artifact_table(artifact: Artifact) -> dict[str, str]:
    """Facts of an artifact, in words, by name."""
    manifest = artifact.manifest
    network = manifest.metrics.get("network")
    metadata = {
        "backbone": f"{manifest.backbone}, {len(artifact.names):,} genes",
        "sha256": artifact.digest,
        "licence of the weights": manifest.licence,
        "readout": f"{manifest.readout}; gradient {manifest.gradient}",
        "units of a level": manifest.units,
        "baseline": f"{manifest.baseline:g}",
        "levels of the response (VVP)": ", ".join(f"{level:g}" for level in manifest.vvp_levels),
        "levels of the gradient (GDT)": ", ".join(f"{level:g}" for level in manifest.gdt_levels),
        "genes of the virtual cell": f"{len(artifact.context)}",
        "translator": f"trained on {network}" if network else "not recorded what it was trained on",
    }
    return metadata | _validation(manifest.metrics)


def _validation(metrics: Mapping[str, Any]) -> dict[str, str]:
    try:
        pairs, score = metrics["pairs"], float(metrics["ensemble"]["validation_auprc"])
        negatives, edges = metrics["settings"]["negatives"], int(pairs["validation_edges"])
    except (KeyError, TypeError, ValueError):
        return {}
    return {"validation": f"AUPRC {score:.3f} (chance 0.5) on {edges:,} edges, {negatives} negatives"}


def reliability_bins(metrics: Mapping[str, Any]) -> dict[str, list[tuple[float, float, float]]]:
    """Probability, share of edges and share of the weight per bin, before and after calibration; empty where an
    artifact has none. Of a calibration that changes nothing, only what is after it."""
    calibration = metrics.get("calibration", {})
    found = {}
    for when in ("before", "after"):
        try:
            bins = [
                (float(b["probability"]), float(b["observed"]), float(b["weight"])) for b in calibration[when]["bins"]
            ]
        except (KeyError, TypeError, ValueError):
            continue
        if all(isfinite(value) for each in bins for value in each):
            found[when] = bins
    if calibration.get("kind") == "none":
        found.pop("before", None)
    return found


def reliability_html(metrics: Mapping[str, Any]) -> str:
    """The diagram's place, or that there are no bins to draw; and what calibration was measured to do."""
    try:
        pairs, calibration = metrics["pairs"], metrics["calibration"]
        where = (
            f"Measured by cross-validation on {int(pairs['validation_edges']):,} edges of "
            f"{metrics.get('network', 'the training network')} and as much weight of pairs that are none, with genes "
            "that the translator had not seen. On other networks and tissues the probabilities can be far off."
        )
        whens = {"after": ""} if calibration["kind"] == "none" else {"before": " before", "after": " after"}
        measured = {
            f"{label}{word}": f"{float(calibration[when][name]):.3f}"
            for name, label in (("ece", "expected calibration error"), ("brier", "Brier score"))
            for when, word in whens.items()
        }
        metadata = definition_list({"calibration": str(calibration["kind"])} | measured)
    except (KeyError, TypeError, ValueError):
        return "<p>This artifact's manifest says nothing of its calibration.</p>"
    if reliability_bins(metrics):
        chart = '<div id="reliability-chart" class="chart" role="img" aria-label="Share of edges by probability"></div>'
    else:
        chart = (
            "<p>This artifact's manifest does not hold the bins of a reliability diagram, so none is drawn; "
            "<code>ugrn train</code> stores them in artifacts it trains now.</p>"
        )
    return f"<p>{escape(where)}</p>{chart}{metadata}"


def run_table(sidecar: Mapping[str, Any]) -> dict[str, str]:
    """The sidecar's entries, those of groups named ``group: entry``."""
    return dict(_flat(sidecar, ""))


def _flat(entries: Mapping[str, Any], group: str) -> Iterator[tuple[str, str]]:
    for name, value in entries.items():
        label = f"{group}: {name}" if group else name
        if isinstance(value, dict):
            yield from _flat(value, label) if value else [(label, "none")]
        else:
            yield label, "not set" if value is None else f"{value:,}" if type(value) is int else str(value)


def definition_list(metadata: Mapping[str, str]) -> str:
    """Facts as a description list."""
    rows = (f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in metadata.items())
    return f'<dl class="facts">{"".join(rows)}</dl>'


def limits_html(artifact: Artifact) -> str:
    """The section 'Limits' of an artifact's model card, as HTML; HTML in the card itself is shown as text."""
    text = ""
    if CARD in artifact.manifest.files:
        card = (artifact.folder / CARD).read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^## Limits[^\n]*\n(.*?)(?=^##? |\Z)", card, re.DOTALL | re.MULTILINE)
        text = found.group(1).strip() if found else ""
    if not text:
        return "<p>The artifact's model card names no limits.</p>"
    return str(markdown_parser().render(text))
