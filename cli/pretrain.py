"""``ugrn pretrain``: train a mini backbone on expression data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Console, Json, Quiet
from .exits import needs

RESUMABLE = True
HELP = """Pretrain a mini backbone on expression data (.h5 corpus files, .h5ad, or folders of them).

Run the same command again to resume a run that was stopped.

Example: ugrn pretrain corpus averages --genes genes -o my-pretrained
"""

DescriptionShare = Annotated[
    float,
    typer.Option(
        help="Share of the training rows drawn from the genes' descriptions, from 0 to below 1.", min=0.0, max=0.95
    ),
]


def command(
    expression: Annotated[
        list[Path],
        typer.Argument(help="Expression files or folders; tissue means in a folder named 'averages' weigh more."),
    ],
    genes: Annotated[Path, typer.Option(help="Folder with human.parquet (NCBI gene_info).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    gene_embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Parquet with columns gene and embedding; by default the genes' names are embedded (extra: text)."
        ),
    ] = None,
    gene_sets: Annotated[
        Path | None,
        typer.Option(help="GMT file of gene sets, e.g. the Gene Ontology: joins the names in describing the genes."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1)] = 11_000,
    width: Annotated[int, typer.Option(min=8)] = 192,
    layers: Annotated[int, typer.Option(min=1)] = 2,
    heads: Annotated[int, typer.Option(min=1)] = 6,
    description_share: DescriptionShare = 0.5,
    licence: Annotated[str, typer.Option(help="SPDX expression of the weights' licence.")] = "",
    bfloat16: Annotated[
        bool, typer.Option(help="Multiply matrices in bfloat16: about twice as fast where the processor can.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of weights and batches.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: torch decides.", min=0)] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    with needs("export", "ugrn pretrain"):
        from ugrn.export.pretrain.pretrain import Sizes, pretrain_to_folder
        from ugrn.export.pretrain.sampling import PretrainConfig
    config = PretrainConfig(steps=steps, bfloat16=bfloat16, seed=seed, description_share=description_share)
    sizes = Sizes(width, layers, heads)
    metadata = pretrain_to_folder(
        expression,
        genes,
        output,
        config,
        sizes,
        gene_embeddings,
        threads,
        console.training_progress(),
        console.note,
        licence=licence,
        gene_sets=gene_sets,
    )
    console.note(
        f"backbone written: {output}; held-out R2 {metadata['held_out']['r2_1']:.4f} from one visible gene; next: "
        f"ugrn export mini {output} -o ARTIFACT"
    )
    console.result({"output": output, "held_out": metadata["held_out"], "sources": len(metadata["sources"])})
