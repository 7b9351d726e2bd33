"""``ugrn benchmark``: how much of an artifact's score is pairwise knowledge."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime.errors import InputError

from .console import Console, Json, ProgressLine, Quiet
from .extras import needs
from .options import ArtifactFolder

RESUMABLE = True
HELP = """Test an artifact's method zero-shot on networks it was not trained on, next to controls that know no pairs.

DATA_DIR holds edges.parquet, genes.parquet and perhaps expression/*.h5 (or a folder beeline with them), and may hold
the folders genes, corpus and averages, from which further controls are made. Run the same command again to resume.

Examples:

    ugrn benchmark data -o results --quick

    ugrn benchmark data --artifact my-artifact --train hESC/string -o results
"""


def command(
    data: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Folder of networks, genes and expression.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for tables, plots and report.")],
    artifact: ArtifactFolder = None,
    train: Annotated[str, typer.Option(help="DATASET/NETWORK the translators learn on.")] = "hESC/string",
    attention: Annotated[
        str | None,
        typer.Option(help="The same backbone exported with --readout attn, for the column Attn; as --artifact."),
    ] = None,
    gene_embeddings: Annotated[
        Path | None,
        typer.Option(help="Parquet with columns gene and embedding, for the text controls.", exists=True),
    ] = None,
    gene_sets: Annotated[
        Path | None,
        typer.Option(help="GMT file that informed the backbone, for the gene-set controls.", exists=True),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Panel 500, two draws of negatives, no slow methods: a few minutes.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Draws of negatives.", min=1)] = 5,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: all.", min=0)] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    console = Console(quiet, json)
    with needs("benchmark", "ugrn benchmark"):
        from ugrn.export.benchmark.benchmark import check_readouts, claim, make_plan, run, training_network
        from ugrn.export.benchmark.build import Sources, build_groups
        from ugrn.export.benchmark.datasets import read_datasets
        from ugrn.export.benchmark.evaluate import Protocol
        from ugrn.export.benchmark.methods import Training
        from ugrn.export.training.examples import TranslatorConfig
    from ugrn.runtime import load

    name, _, network = train.partition("/")
    if not name or not network:
        message = f"--train {train}: expected DATASET/NETWORK, e.g. hESC/string"
        raise InputError(message)
    found = read_datasets(data, smallest=quick)
    protocol = Protocol(min(seeds, 2), 50) if quick else Protocol(seeds)
    scorer = load(artifact, threads=threads)
    attending = None if attention is None else load(attention, threads=threads)
    check_readouts(scorer, attending)
    sources = Sources(
        genes=data / "genes" if (data / "genes").is_dir() and not quick else None,
        gene_embeddings=gene_embeddings,
        gene_sets=gene_sets,
        expression=() if quick else tuple(each for each in (data / "corpus", data / "averages") if each.is_dir()),
        attention=attending,
    )
    config = TranslatorConfig()
    plan = make_plan((name, network), found, protocol, config, scorer, sources, data, quick)
    training = Training(found[name], training_network(found, plan), config)
    claim(output, plan)

    lines: dict[str, ProgressLine] = {}

    def progress(what: str, done: int, total: int) -> None:
        lines.setdefault(what, console.progress("steps"))(done, total, what)

    jobs = threads or os.cpu_count() or 1
    groups = build_groups(scorer, training, found.values(), sources, output, quick, jobs, console.note, progress)

    if gene_sets is None and (informed_by := scorer.artifact.manifest.provenance.get("gene_sets")):
        console.note(
            f"note: {informed_by} informed this backbone; give it with --gene-sets to have it among the controls"
        )
    metadata = {
        "artifact": f"{scorer.artifact.manifest.backbone} ({scorer.artifact.digest[:12]})",
        "translators learn on": train,
        "draws of negatives": protocol.seeds,
        "bootstrap draws": protocol.draws,
    }
    results = run(plan, found, scorer, groups, output, metadata, console.note, progress, jobs)
    console.result({"output": output, "results": len(results)}, [f"{output}: {len(results):,} results"])
