"""``ugrn export``: a pretrained backbone in, an artifact folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime.errors import InputError

from .extras import needs

NAME = "export"
HELP = """Export a frozen backbone into an artifact folder of ONNX graphs.

Example: ugrn export mini my-pretrained -o my-artifact
"""


def command(
    backbone: Annotated[str, typer.Argument(help="Backbone family: mini.")],
    checkpoint: Annotated[Path, typer.Argument(help="Folder with the pretrained weights.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Artifact folder to write.")],
    readout: Annotated[
        str | None, typer.Option(help="mvc, masked or token; the backbone's default if left out.")
    ] = None,
    context_size: Annotated[int, typer.Option(help="Genes in the virtual cell's context.", min=0)] = 0,
    torchscript: Annotated[bool, typer.Option(help="Also write TorchScript files, for libtorch.")] = False,
    example_pairs: Annotated[Path | None, typer.Option(help="Pair list to ship as the artifact's example.")] = None,
    licence_file: Annotated[Path | None, typer.Option(help="Licence text to put into the artifact.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the artifact folder if it exists.")] = False,
) -> None:
    if backbone != "mini":
        message = f"backbone {backbone!r} is not known; expected: mini"
        raise InputError(message)
    with needs("export", "ugrn export"):
        from ugrn.export.bundle import ExportSettings, write_artifact
        from ugrn.export.training.checkpoint import load_checkpoint, origin_of
    if licence_file is not None and not licence_file.is_file():
        message = f"{licence_file}: no such file; expected the text of the weights' licence"
        raise InputError(message)
    text = "" if licence_file is None else licence_file.read_text(encoding="utf-8")
    loaded = load_checkpoint(checkpoint)
    if context_size > len(loaded.context):
        message = f"context of {context_size} genes asked for; the checkpoint ranks {len(loaded.context)}"
        raise InputError(message)
    settings = ExportSettings(readout, tuple(loaded.context[:context_size]), torchscript, overwrite, example_pairs)
    manifest = write_artifact(
        loaded.backbone, output, settings, origin_of(loaded, text), lambda line: typer.echo(line, err=True)
    )
    if manifest.readout not in loaded.backbone.card.readouts:
        typer.echo(f"note: pretraining of {backbone} did not train the readout {manifest.readout!r}", err=True)
    typer.echo(
        f"artifact written: {output}; it needs a translator next: ugrn train {output} --edges EDGES.csv",
        err=True,
    )
