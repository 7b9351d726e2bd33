"""``ugrn train``: fit an artifact's translator on a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.pairs import format_counts

from .console import Console, Json, Quiet
from .exits import needs

HELP = """Fit the translator of an artifact on a network's edges, and calibrate it.

Examples:

    ugrn train my-artifact --edges my-network.csv

    ugrn train mini --edges my-network.csv -o my-artifact --quiet --json
"""


def command(
    artifact: Annotated[str, typer.Argument(help="Artifact: a folder; with -o also a name or a hub's.")],
    edges: Annotated[Path, typer.Option(help="True edges: a pair list with columns source and target.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write a new artifact here instead of changing it in place."),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Name of the network for the model card; the file's name if left out.")
    ] = None,
    negatives: Annotated[str, typer.Option(help="random, same-source or degree-aware.")] = "degree-aware",
    embeddings: Annotated[
        bool, typer.Option(help="Let the products of gene embeddings join the probes, where the artifact has them.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of split, negatives and weights.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: onnxruntime decides.")] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    with needs("export", "ugrn train"):
        from ugrn.export.bundle.folder import check_folder
        from ugrn.export.bundle.seal import add_translator
        from ugrn.export.training.examples import TranslatorConfig
        from ugrn.export.training.translator import train_on_network
    from ugrn.runtime import load

    check_folder(output or Path(artifact), overwrite=output is None)
    scorer = load(artifact, threads=threads)
    folder = scorer.artifact.folder
    if output is None and folder != Path(artifact):
        message = f"{artifact}: is the name of {folder}, which is not changed in place; say where to write with -o"
        raise InputError(message)
    config = TranslatorConfig(negatives=negatives, embeddings=embeddings, seed=seed)  # type: ignore[arg-type]
    fit = train_on_network(scorer, edges, config, console.progress("pairs"))
    metrics = fit.metrics | {"network": network or edges.stem}
    used = metrics["edges"]
    if used["used"] < used["given"]:
        why = format_counts(used["rejected"])
        console.note(f"{used['given'] - used['used']} of {used['given']} edges left out ({why})")
    add_translator(folder, fit.translator, metrics, output)
    console.note(f"translator written: {output or folder}")
    console.result({"output": output or folder, "metrics": metrics}, _lines(metrics))


def _lines(metrics: dict[str, Any]) -> Iterator[str]:
    """Validation figures, for people."""
    for name in (name for name in ("vvp", "gdt", "emb", "ensemble") if name in metrics):
        yield f"validation AUPRC {name:<9}{metrics[name]['validation_auprc']:.3f}   (chance 0.5)"
    calibration = metrics["calibration"]
    before, after = calibration["before"], calibration["after"]
    yield (
        f"calibration {calibration['kind']}: expected calibration error {before['ece']:.3f} -> {after['ece']:.3f}, "
        f"Brier score {before['brier']:.3f} -> {after['brier']:.3f}"
    )
