"""``ugrn train``: fit an artifact's translator on a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime.pairs import say_counts

from .extras import needs
from .progress import Progress

NAME = "train"
HELP = """Fit the translator of an artifact on a network's edges, and calibrate it.

Example: ugrn train my-artifact --edges edges.csv
"""


def command(
    artifact: Annotated[Path, typer.Argument(help="Artifact folder.")],
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
) -> None:
    with needs("export", "ugrn train"):
        from ugrn.export.bundle import add_translator, check_folder
        from ugrn.export.training.translator import TranslatorConfig, train_on_network
    from ugrn.runtime import load

    check_folder(output or artifact, overwrite=output is None)
    scorer = load(artifact, threads=threads)
    config = TranslatorConfig(negatives=negatives, embeddings=embeddings, seed=seed)  # type: ignore[arg-type]
    fit = train_on_network(scorer, edges, config, Progress("pairs"))
    metrics = fit.metrics | {"network": network or edges.stem}
    used = metrics["edges"]
    if used["used"] < used["given"]:
        why = say_counts(used["rejected"])
        typer.echo(f"{used['given'] - used['used']} of {used['given']} edges left out ({why})", err=True)
    add_translator(artifact, fit.translator, metrics, output)
    calibration = metrics["calibration"]
    for name in (name for name in ("vvp", "gdt", "emb", "ensemble") if name in metrics):
        typer.echo(f"validation AUPRC {name:<9}{metrics[name]['validation_auprc']:.3f}   (chance 0.5)")
    typer.echo(
        f"calibration {calibration['kind']}: expected calibration error {calibration['before']['ece']:.3f} -> "
        f"{calibration['after']['ece']:.3f}, Brier score {calibration['before']['brier']:.3f} -> "
        f"{calibration['after']['brier']:.3f}"
    )
    typer.echo(f"translator written: {output or artifact}", err=True)
