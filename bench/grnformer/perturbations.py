"""The three perturbation data sets.

Their changes are in units of their own, so they are never put together. The change of the perturbed gene itself is
taken for not measured: that a gene goes down which is cut or silenced is no prediction, and it would be among the
genes that change most.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ugrn.export.pretrain.corpus import log_normalise
from ugrn.runtime.arrays import Array, Ids
from ugrn.runtime.errors import InputError
from ugrn.runtime.genes.names import GeneNames

from .data import Perturbations
from .files import read_table, require

FISH = "perturbfish_astrocyte_counts.parquet"
LUHMES = "luhmes_cropseq_lfc.parquet"
TCELLS = "tcell_ko_stim_scmageck.parquet"
FISH_CONTROLS = ("Control_NT", "Control_ST")
FEWEST_CELLS = 10
HALVINGS = 5
LUHMES_CAUTIONS = (
    "Changes are log fold changes of MAST against all other cells, less those of the nontargeting cells: these changes "
    "share the noise of the nontargeting cells.",
)
TCELL_CAUTIONS = ("Changes are scores of scMAGeCK's ridge regression, no log fold changes.",)


def read_perturbations(folder: Path, quick: bool) -> list[Perturbations]:
    """Perturb-FISH of astrocytes, CROP-seq of LUHMES neural progenitors and a T cell knockout screen; the first alone
    if `quick`.

    Raises:
        InputError: files are missing, or cannot be read.
    """
    fish, luhmes, tcells = require(folder, (FISH, LUHMES, TCELLS))
    first = read_fish(fish)
    if quick:
        return [first]
    return [
        first,
        read_changes("luhmes_cropseq", luhmes, "log_fc", "Nontargeting", LUHMES_CAUTIONS, against_rest=True),
        read_changes("tcell_ko", tcells, "score", "NegCtrl", TCELL_CAUTIONS),
    ]


def read_fish(path: Path) -> Perturbations:
    """Counts of cells with one target or two ("A+B"): the change is the mean of the cells of one target less that of
    the controls, in ln(1 + 1e4 x / sum).

    The published log fold changes are not taken. They are in other units than the control cells, which a model starts
    from; and how sure they are cannot be told from them, as it can from cells: see `agreement`.
    """
    table = read_table(path, ("cell", "perturbation"), others=True)
    genes = table.columns[2:]
    labels = table["perturbation"].to_numpy().astype(np.str_)
    values = log_normalise(table.select(genes).to_numpy().astype(np.float32))
    single = np.char.find(labels, "+") < 0
    is_control = np.isin(labels, FISH_CONTROLS)
    targets, counts = np.unique(labels[single & ~is_control], return_counts=True)
    perturbed = targets[counts >= FEWEST_CELLS].tolist()
    if not is_control.any() or not perturbed:
        message = (
            f"{path}: {int(is_control.sum())} control cells, {len(perturbed)} targets of {FEWEST_CELLS} cells or more; "
            "expected some of both"
        )
        raise InputError(message)
    control = values[is_control]
    cells = [values[labels == target] for target in perturbed]
    few = targets[counts < FEWEST_CELLS].tolist()
    cautions = (
        f"{int((~single).sum()):,} cells with two targets are left out, and the targets of fewer than {FEWEST_CELLS} "
        f"cells: {', '.join(few) or 'none'}.",
        f"{len(genes)} genes chosen beforehand were measured; a cell's sum is of these alone.",
        f"Half the cells of a perturbation agree with the other half at r = {agreement(cells, control):.2f} (mean): "
        f"with {np.median(counts):.0f} cells (median) most of a change is noise, which nothing predicts.",
    )
    change = np.stack([each.mean(0) for each in cells]) - control.mean(0)
    change = without_own(perturbed, genes, change)
    return Perturbations("perturbfish_astrocyte", perturbed, genes, change, control, cautions)


def agreement(cells: list[Array], control: Array) -> float:
    """Mean Pearson r between the changes that two halves of the cells give, of the controls too, over `HALVINGS` draws.

    Args:
        cells: of every perturbation, ``[n, G]``.
        control: ``[N, G]``.
    """
    random = np.random.default_rng(0)

    def halves(values: Array) -> list[Array]:
        order = random.permutation(len(values))
        return [values[part].mean(0) for part in (order[::2], order[1::2])]

    found = []
    for each in [each for each in cells for _ in range(HALVINGS)]:
        one, other = (a - b for a, b in zip(halves(each), halves(control), strict=True))
        found.append(np.corrcoef(one, other)[0, 1])
    return float(np.mean(found))


def read_changes(
    name: str, path: Path, column: str, control: str, cautions: tuple[str, ...], against_rest: bool = False
) -> Perturbations:
    """Changes that were published gene by gene: columns ensembl, gene, perturbation and that of the change.

    A gene is named by its symbol, or by its Ensembl id where it has none or shares it.

    Args:
        name: of the data set.
        path: of the table.
        column: of the change.
        control: what the control cells are called among the perturbations.
        cautions: see `Perturbations`.
        against_rest: True where the changes are against all other cells. Then they add up to about nothing over all
            perturbations, so that the mean of some is the reverse of the others' and gives those away; those of the
            control are taken off, which makes them changes against the control.
    """
    table = read_table(path, ("ensembl", "gene", "perturbation", column))
    genes = table.select("ensembl", "gene").unique(maintain_order=True)
    unclear = pl.col("gene").is_null() | (pl.col("gene") == "") | pl.col("gene").is_duplicated()
    symbols = genes.select(pl.when(unclear).then("ensembl").otherwise("gene")).to_series().to_list()
    labels = sorted(table["perturbation"].unique().to_list())
    change = np.full((len(labels), len(genes)), np.nan, np.float32)
    rows, columns = _places(table["perturbation"], labels), _places(table["ensembl"], genes["ensembl"].to_list())
    change[rows, columns] = table[column].to_numpy()
    if control not in labels:
        message = f"{path}: no {control} among its {len(labels)} perturbations; expected the controls' changes too"
        raise InputError(message)
    own = labels.index(control)
    perturbed = [label for label in labels if label != control]
    others = np.delete(change, own, axis=0) - (change[own] if against_rest else np.float32(0))
    return Perturbations(name, perturbed, symbols, without_own(perturbed, symbols, others), None, cautions)


def without_own(perturbed: list[str], genes: list[str], change: NDArray[np.floating]) -> Array:
    """The changes ``[P, G]`` without that of the perturbed gene, by whichever of its names it is among the genes."""
    out = np.array(change, np.float32)
    columns = GeneNames(genes).ids(perturbed)
    rows = np.flatnonzero(columns >= 0)
    out[rows, columns[rows]] = np.nan
    return out


def _places(column: pl.Series, names: list[str]) -> Ids:
    place = {name: index for index, name in enumerate(names)}
    return np.array([place[name] for name in column.to_list()], np.int64)
