"""``ugrn benchmark``: how much of an artifact's score is pairwise knowledge."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ugrn.runtime.errors import InputError
from ugrn.runtime.progress import StageProgress

from .console import Console, Json, Quiet
from .exits import needs
from .options import ArtifactFolder

RESUMABLE = True
HELP = """Test an artifact's method zero-shot on networks it was not trained on, next to controls that know no pairs.

DATA_DIR holds edges.parquet, genes.parquet and perhaps expression/*.h5 (or a folder beeline with them), and may hold
the folders genes, corpus and averages, from which further controls are made. Run the same command again to resume.

Examples:

    ugrn benchmark data -o results --quick

    ugrn benchmark data --artifact my-artifact --train hESC/string -o results
"""

Attention = Annotated[
    str | None,
    typer.Option(help="The same backbone exported with --readout attn, for the column Attn; as --artifact."),
]
GeneEmbeddings = Annotated[
    Path | None, typer.Option(help="Parquet with columns gene and embedding, for the text controls.", exists=True)
]
GeneSets = Annotated[
    Path | None, typer.Option(help="GMT file that informed the backbone, for the gene-set controls.", exists=True)
]


def command(
    data: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Folder of networks, genes and expression.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for tables, plots and report.")],
    artifact: ArtifactFolder = None,
    train: Annotated[str, typer.Option(help="DATASET/NETWORK the translators learn on.")] = "hESC/string",
    attention: Attention = None,
    gene_embeddings: GeneEmbeddings = None,
    gene_sets: GeneSets = None,
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
        from ugrn.export.benchmark.benchmark import run_benchmark
        from ugrn.export.benchmark.build import build_groups, sources_of
        from ugrn.export.benchmark.datasets import read_datasets
        from ugrn.export.benchmark.evaluate import Protocol
        from ugrn.export.benchmark.methods import Training
        from ugrn.export.benchmark.plan import check_readouts, claim, make_plan, training_network
        from ugrn.export.training.examples import TranslatorConfig
        from ugrn.web.benchmark import write_benchmark_page
    from ugrn.runtime import load

    name, network = _training_names(train)
    datasets = read_datasets(data, smallest=quick)
    protocol = Protocol(min(seeds, 2), 50) if quick else Protocol(seeds)
    scorer = load(artifact, threads=threads)
    attending = None if attention is None else load(attention, threads=threads)
    check_readouts(scorer, attending)
    sources = sources_of(data, gene_embeddings, gene_sets, attending, quick)
    config = TranslatorConfig()
    plan = make_plan((name, network), datasets, protocol, config, scorer, sources, data, quick)
    learned = training_network(datasets, plan)  # before the data set is asked for: it may not be there
    training = Training(datasets[name], learned, config)
    claim(output, plan)

    progress, jobs = _stage_progress(console), threads or os.cpu_count() or 1
    groups = build_groups(scorer, training, datasets.values(), sources, output, quick, jobs, console.note, progress)
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
    found = run_benchmark(plan, datasets, scorer, groups, output, metadata, console.note, progress, jobs)
    write_benchmark_page(found.markdown, found.images, found.numbers, found.results, output / "report.html")
    console.note(f"written: {output / 'results.parquet'}, RESULTS.md, report.html, plots/")
    count = len(found.results)
    console.result({"output": output, "results": count}, [f"{output}: {count:,} results"])


def _training_names(train: str) -> tuple[str, str]:
    """Data set and network of the training.

    Raises:
        InputError: `train` does not name both.
    """
    name, _, network = train.partition("/")
    if not name or not network:
        message = f"--train {train}: expected DATASET/NETWORK, e.g. hESC/string"
        raise InputError(message)
    return name, network


def _stage_progress(console: Console) -> StageProgress:
    """A progress line for every stage."""
    lines: defaultdict[str, Callable[[int, int, str], None]] = defaultdict(lambda: console.progress("steps"))

    def progress(stage: str, done: int, total: int) -> None:
        lines[stage](done, total, stage)

    return progress
