"""``ugrn export``: a pretrained backbone in, an artifact folder out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime.errors import InputError

from .console import Console, Json, Quiet
from .exits import needs

HELP = """Export a frozen backbone into an artifact folder of ONNX graphs.

Examples:

    ugrn export mini my-pretrained -o my-artifact

    ugrn export scgpt CHECKPOINT_FOLDER -o my-scgpt --context genes.txt --readout mvc
"""


def command(
    backbone: Annotated[
        str,
        typer.Argument(
            help="Family: mini, scgpt, scbenchmark, scfoundation, scbert, geneformer, adapted, or one that another "
            "package offers (ugrn doctor lists all)."
        ),
    ],
    checkpoint: Annotated[Path, typer.Argument(help="Folder with the pretrained weights; for mini, an artifact too.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Artifact folder to write.")],
    readout: Annotated[
        str | None, typer.Option(help="mvc, gen, masked, token, shift, rank or attn; the family's default if left out.")
    ] = None,
    context_size: Annotated[
        int, typer.Option(help="Genes in the virtual cell's context, of those the checkpoint ranks.", min=0)
    ] = 0,
    context: Annotated[
        Path | None, typer.Option(help="Genes of the virtual cell's context, one per line, instead.")
    ] = None,
    baseline: Annotated[float | None, typer.Option(help="Baseline v_b; the family's default if left out.")] = None,
    vvp_levels: Annotated[str | None, typer.Option(help="Levels of VVP, with commas between.")] = None,
    gdt_levels: Annotated[str | None, typer.Option(help="Levels of GDT, with commas between.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="NAME=VALUE, an option of the family (docs/bring-your-own-checkpoint.md); repeatable."
        ),
    ] = None,
    torchscript: Annotated[bool, typer.Option(help="Also write TorchScript files, for libtorch.")] = False,
    example_pairs: Annotated[Path | None, typer.Option(help="Pair list to ship as the artifact's example.")] = None,
    licence_file: Annotated[Path | None, typer.Option(help="Licence text to put into the artifact.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the artifact folder if it exists.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    with needs("export", "ugrn export"):
        from ugrn.export.bundle.artifact import ExportSettings, write_artifact
        from ugrn.export.model.base import with_levels
        from ugrn.export.registry import load_backbone
    if licence_file is not None and not licence_file.is_file():
        message = f"{licence_file}: no such file; expected the text of the weights' licence"
        raise InputError(message)
    loaded = load_backbone(backbone, checkpoint, settings or [])
    origin = loaded.origin
    if licence_file is not None:
        origin = replace(origin, licence_text=licence_file.read_text(encoding="utf-8"))
    card = with_levels(loaded.backbone.card, baseline, _levels("vvp", vvp_levels), _levels("gdt", gdt_levels))
    genes = _context(context, context_size, loaded.context)
    wanted = ExportSettings(readout, tuple(genes), torchscript, overwrite, example_pairs, card, loaded.embeddings)
    manifest = write_artifact(loaded.backbone, output, wanted, origin, console.note)
    notes = [*manifest.provenance.get("cautions", ()), *([card.notice] if card.notice else ())]
    for note in notes:
        console.note(f"note: {note}")
    console.note(f"artifact written: {output}; it needs a translator next: ugrn train {output} --edges EDGES.csv")
    metadata = {
        name: getattr(manifest, name) for name in ("backbone", "readout", "gradient", "licence", "context_size")
    }
    console.result({"output": output, **metadata, "deviation": manifest.parity["deviation"], "notes": notes})


def _context(path: Path | None, size: int, ranked: Sequence[str]) -> Sequence[str]:
    """Symbols of the reference context: a file's, or the first that the checkpoint ranks."""
    if path is None:
        if size > len(ranked):
            message = (
                f"context of {size} genes asked for; the checkpoint ranks {len(ranked)}: give the genes with --context"
            )
            raise InputError(message)
        return ranked[:size]
    if size:
        message = "--context-size and --context were both given; expected one of them"
        raise InputError(message)
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read ({error}); expected a text file with one gene per line"
        raise InputError(message) from error
    return list(dict.fromkeys(lines))


def _levels(probe: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        levels = tuple(float(part) for part in text.split(","))
    except ValueError:
        levels = ()
    if not levels or not all(map(isfinite, levels)):
        message = f"--{probe}-levels {text}: expected numbers with commas between, e.g. 0.5,1,2"
        raise InputError(message)
    return levels
