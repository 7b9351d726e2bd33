"""The model card of an artifact: contents, origin and limits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ugrn.runtime.artifact.manifest import Manifest

HUB_LICENCES = (  # short names of model hubs: SPDX expressions without "only" and "or later"
    *("mit", "apache-2.0", "bsd-3-clause", "gpl-3.0", "cc0-1.0"),
    *("cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"),
)
PARTS = ("vvp", "gdt", "emb", "ensemble")
ARMS = {
    "before": "backbone alone",
    "after": "with the adapter",
    "without_edges": "edges taken away",
    "random_network": "random network, same degrees",
}
ADAPTER_LIMITS = (
    "An adapter learns to predict expression in cells like these. A smaller error is no evidence that the network's "
    "edges exist, and scores of an adapted backbone are no independent test of the network that was fed to it."
)
LIMITS = """\
- A probability is relative to the training network and to its prevalence (half of the pairs were edges). For a
  list with another share of edges, give that share with `--prior`.
- The probabilities were calibrated on genes of the training data set only; on other tissues, species or
  networks they can be off. They rank hypotheses; they are no evidence that an edge exists in a given cell type.
- STRING is largely symmetric and has text-mining and co-expression channels: it hardly tests direction, and
  part of what a text-informed model scores on it is circular. ChIP-based networks are the stricter test.
- Not for clinical use."""


def model_card(manifest: Manifest) -> str:
    """The Markdown text of ``MODEL_CARD.md``, with the header by which model hubs sort it."""
    levels = ", ".join(f"{level:g}" for level in manifest.vvp_levels)
    steps = ", ".join(f"{level:g}" for level in manifest.gdt_levels)
    parts = [
        _header(manifest),
        f"# ugrn artifact: {manifest.backbone}",
        "Scores the probability that a source gene regulates a target gene, from the response (VVP) and the "
        "gradient (GDT) of a frozen single-cell foundation model (UGRN, arXiv 2605.08128).",
        "## Probe",
        f"- readout `{manifest.readout}`, gradient {manifest.gradient}\n- units: {manifest.units}\n"
        f"- baseline {manifest.baseline:g}; VVP levels {levels}; GDT levels {steps}\n"
        f"- weights under {manifest.licence}",
        "## Parity with float64 autograd",
        _parity(manifest.parity),
    ]
    if manifest.provenance:
        parts += ["## Backbone", _provenance(manifest.provenance)]
    parts += ["## Translator", _metrics(manifest.metrics), "## Limits", LIMITS]
    return "\n\n".join(parts) + "\n"


def _header(manifest: Manifest) -> str:
    """YAML metadata; every text is quoted as in JSON, which is YAML too."""
    short = manifest.licence.lower().removesuffix("-only").removesuffix("-or-later")
    licence = [f"license: {short}"]
    if short not in HUB_LICENCES:
        licence = ["license: other", f"license_name: {json.dumps(manifest.licence)}"]
    tags = ("gene-regulatory-network", "single-cell", "biology", "onnx", manifest.backbone)
    lines = ["library_name: ugrn", *licence, "tags:", *(f"  - {json.dumps(tag)}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _parity(parity: Mapping[str, Any]) -> str:
    deviations = [
        (name, output, f"{value:.1e}")
        for name, outputs in parity["deviation"].items()
        for output, value in outputs.items()
    ]
    head = f"Largest deviation at {len(parity['shapes'])} random shapes, relative to the largest absolute value."
    return f"{head}\n\n{_table(('file', 'output', 'deviation'), deviations)}"


def _provenance(provenance: Mapping[str, Any]) -> str:
    parts = []
    if held_out := provenance.get("held_out"):
        scores = _table(("score", "value"), [(name, f"{value:.4f}") for name, value in held_out.items()])
        parts.append(
            "Scores on held-out rows. `r2_k`: share of the variance explained with k visible genes, against "
            f"predicting every gene's mean.\n\n{scores}"
        )
    if notice := provenance.get("notice"):
        parts.append(f"Note: {notice}.")
    if cautions := provenance.get("cautions"):
        parts.append("\n".join(f"- {caution}" for caution in cautions))
    if checkpoint := provenance.get("checkpoint"):
        options = ", ".join(f"{name} {value}" for name, value in checkpoint["options"].items())
        parts.append(f"Checkpoint of {checkpoint['family']}; options: {options or 'none'}.")
        parts.append(_table(("file", "sha256"), checkpoint["files"].items()))
        if unused := checkpoint["unused"]:
            parts += ["Deliberately unused tensors.", _table(("tensor", "why"), unused.items())]
    if sources := provenance.get("sources"):
        names = ("name", "species", "rows", "genes", "licence", "origin")
        rows = [[source[name] for name in names] for source in sources]
        parts += ["What it was pretrained on.", _table(("source", *names[1:]), rows)]
    if embeddings := provenance.get("gene_embeddings"):
        spectral = provenance.get("spectral_components", 0)
        also = f"; and {spectral} co-expression components of the expression above" if spectral else ""
        parts.append(f"Gene tokens are informed by: {embeddings}{also}.")
    if adapter := provenance.get("adapter"):
        parts.append(_adapter(adapter))
    return "\n\n".join(parts) or "No provenance recorded."


def _adapter(metadata: Mapping[str, Any]) -> str:
    """The networks that were fed back, and the errors with and without them; see `ugrn.export.adapter`."""
    settings, cells, held_out = metadata["settings"], metadata["cells"], metadata["held_out"]
    networks = [(each["file"], each["edges"], each["sha256"]) for each in metadata["networks"]]
    errors = [
        f"| {ARMS[name]} | {error:.5f} | {_difference_text(held_out['more_than_after'].get(name))} |"
        for name, error in held_out["error"].items()
    ]
    return "\n\n".join(
        [
            "### Adapter",
            "Networks were fed back into the backbone (GRNFormer, arXiv 2503.01682). The adapter was trained for "
            f"{settings['steps']} steps on {cells['cells'] - cells['held_out']} cells of {cells['file']} (sha256 "
            f"{cells['sha256']}) at the readout `{metadata['readout']}`, {settings['perturbation']:.0%} of the edges "
            "replaced by co-expression links in each step; the backbone was "
            f"{'trained along' if settings['unfreeze'] else 'frozen'}.",
            _table(("network", "edges", "sha256"), networks),
            f"Mean squared error on {held_out['cells']} cells held out, and how much more than with the adapter "
            "(± one standard error). The network was taken away or replaced after training.",
            "\n".join(["| | error | more |", "|---|---|---|", *errors]),
            ADAPTER_LIMITS,
        ]
    )


def _difference_text(difference: Sequence[float] | None) -> str:
    return "" if difference is None else f"{difference[0]:+.5f} ± {difference[1]:.5f}"


def _metrics(metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return "None yet: this artifact gives features but no probabilities. Run `ugrn train`."
    pairs, calibration = metrics["pairs"], metrics["calibration"]
    before, after = calibration["before"], calibration["after"]
    validated = [(name, f"{metrics[name]['validation_auprc']:.3f}") for name in PARTS if name in metrics]
    return "\n\n".join(
        [
            f"Trained on {pairs['all_edges']} edges of {metrics.get('network', 'a network')} with "
            f"{metrics['settings']['negatives']} negatives. Validation, by a fit on {pairs['train_edges']} of them: "
            f"{pairs['validation_edges']} edges that share no gene with those, classes weighing the same (chance 0.5).",
            _table(("score", "validation AUPRC"), validated),
            f"Calibration: {calibration['kind']}. Expected calibration error {before['ece']:.3f} before, "
            f"{after['ece']:.3f} after; Brier score {before['brier']:.3f} before, {after['brier']:.3f} after "
            "(cross-validated).",
        ]
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (columns, *rows)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])
