"""Inputs that every fit of a data set shares: the cells' tokens, the genes, and the networks between them.

No label, response or change of a test row is looked at. Networks of cell states are made of all cells' expression,
those of test cells too: a state is no label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from ugrn.export.networks.network import Network
from ugrn.export.pretrain.pretrain import PAIR_RANK
from ugrn.runtime import Scorer
from ugrn.runtime.arrays import Array
from ugrn.runtime.engine.states import states_of
from ugrn.runtime.engine.units import Cells
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.annotations import Groups
from ugrn.runtime.files.matrices import DenseMatrix

from .arms import ArmInputs, Wiring, cosine, of_states
from .data import DrugClass, DrugResponse, Perturbations, Rows, Split, TaskData
from .differences import BOTH, BY_STATE, LIKE
from .problems import CellTokens, ChangeTokens, Inputs
from .regulons import active_regulons
from .tokens import Frozen, check_units, in_units, known_genes, most_variable

FEWEST_GENES = 8
KNOCKED_DOWN = {"z-score": -2.0}  # in a model's units; elsewhere a gene that is knocked down is not expressed
ONE_GROUP = "all cells are of one group, and the artifact tells states by how groups differ"
NO_CELLS = "changes alone are at hand, and no cells"
NO_NAMES = "the artifact has no gene embeddings"


@dataclass(frozen=True)
class Resources:
    """Models and limits that data are prepared with.

    Attributes:
        backbone: whose tokens are read.
        scorer: of an artifact whose networks are tried.
        visible: genes that a cell shows, at most.
        targets: strongest targets of every gene that make ugrn's network.
        measured: genes whose change is predicted, at most: those that change most in the training perturbations.
    """

    backbone: Frozen
    scorer: Scorer
    visible: int = 128
    targets: int = 20
    measured: int = 1000


@dataclass(frozen=True)
class Prepared:
    """A data set, or one split of it, ready to be fitted.

    Attributes:
        data: with the genes that are compared.
        inputs: of the models.
        material: what the networks are made from.
    """

    data: TaskData
    inputs: Inputs
    material: ArmInputs


def missing_arms(data: TaskData, scorer: Scorer) -> tuple[tuple[str, str], ...]:
    """Arms that a data set has not, each with the reason."""
    missing = {} if scorer.artifact.embeddings is not None else {"text": NO_NAMES}
    by_state: tuple[str, ...] = ()
    why = ""
    if isinstance(data, Perturbations) and data.control is None:
        by_state, why = BY_STATE, NO_CELLS
        missing["co-expression"] = why
    elif len(set(_groups(data))) < 2:
        by_state, why = ("cell-type", BOTH), ONE_GROUP
    missing |= {arm: why for each in by_state for arm in (each, LIKE[each])}
    return tuple(missing.items())


def usable(data: TaskData, tools: Resources) -> tuple[TaskData, list[str]]:
    """The part of a data set that can be compared, and what was left out.

    Perturbations of genes that the backbone or the artifact does not know, and changes of such genes, are left out for
    all arms and baselines; of cells all are kept.

    Raises:
        InputError: too few genes are known, or cells cannot be brought to the backbone's units.
    """
    vocabularies = tools.backbone.names, tools.scorer.artifact.names
    places = known_genes(data.genes, *vocabularies)
    if len(places) < FEWEST_GENES:
        message = (
            f"{data.name}: the backbone and the artifact know {len(places)} of its {len(data.genes)} genes, e.g. "
            f"{', '.join(data.genes[:3])}; expected {FEWEST_GENES} or more"
        )
        raise InputError(message)
    if not isinstance(data, Perturbations):
        check_units(tools.backbone.scale, isinstance(data, DrugResponse), data.name)
        return data, []
    rows = known_genes(data.perturbed, *vocabularies)
    notes = [
        f"left out, as the backbone or the artifact does not know their genes: {lost} of {whole} {what}"
        for what, lost, whole in (
            ("perturbations", len(data) - len(rows), len(data)),
            ("measured genes", len(data.genes) - len(places), len(data.genes)),
        )
        if lost
    ]
    kept = replace(data, perturbed=[data.perturbed[row] for row in rows], change=data.change[rows])
    return _of_genes(kept, places), notes


def prepare(data: TaskData, split: Split, tools: Resources) -> Prepared:
    """Prepare a data set. What is made of cells is the same for all splits; what is made of perturbations is not."""
    if isinstance(data, Perturbations):
        return _prepare_changes(data, split, tools)
    return _prepare_cells(data, tools)


def strongest_targets(scorer: Scorer, genes: list[str], targets: int) -> Network:
    """Every gene's strongest targets among some genes: distinct ones that the artifact knows."""
    edges = scorer.network(genes, genes, top_k=min(targets, len(genes) - 1))
    rows = {gene: row for row, gene in enumerate(genes)}
    source, target = ([rows[name] for name in edges[end].to_list()] for end in ("source", "target"))
    return Network.of(source, target, len(genes))


def _prepare_cells(data: DrugClass | DrugResponse, tools: Resources) -> Prepared:
    backbone = tools.backbone
    known = known_genes(data.genes, backbone.names, tools.scorer.artifact.names)
    values = data.expression[:, known]
    places = most_variable(values, tools.visible)
    names = [data.genes[place] for place in known[places]]
    units = in_units(values, backbone.scale, isinstance(data, DrugResponse), data.name)[:, places]
    ids = backbone.names.ids(names).astype(np.int64)
    cells = CellTokens.summed_up(backbone.tokens(ids, units), backbone.gene_tokens(ids))
    ugrn = strongest_targets(tools.scorer, names, tools.targets)
    missing = missing_arms(data, tools.scorer)
    material = ArmInputs(
        ugrn=ugrn,
        likeness=_likeness(tools.scorer, names),
        by_group=None if "cell-type" in dict(missing) else _by_group(data, names, tools),
        by_cell=_by_cell(data.expression, known[places], ugrn),
        measured=values[:, places],
        missing=missing,
    )
    return Prepared(data, cells, material)


def _prepare_changes(data: Perturbations, split: Split, tools: Resources) -> Prepared:
    backbone = tools.backbone
    data = _of_genes(data, _changing_most(data, split, tools.measured))
    names, rows = _distinct([*data.perturbed, *data.genes], tools.scorer)
    perturbed, measured = rows[: len(data)], rows[len(data) :]
    ids = backbone.names.ids(names).astype(np.int64)
    down, rest = (
        backbone.tokens(ids[:, None], np.full((len(ids), 1), level, np.float32))
        for level in (KNOCKED_DOWN.get(backbone.scale, 0.0), backbone.baseline)
    )
    ugrn = strongest_targets(tools.scorer, names, tools.targets)
    likeness, missing = _likeness(tools.scorer, names), missing_arms(data, tools.scorer)
    material = ArmInputs(ugrn=ugrn, likeness=likeness, missing=missing)
    if data.control is not None:
        cells = np.full((len(data.control), len(names)), np.nan, np.float32)
        cells[:, measured] = data.control
        columns = np.full(len(names), -1)
        columns[measured] = np.arange(len(measured))
        each = _by_cell(data.control, columns, ugrn)
        mean = Wiring(ugrn, cast(Array, each.weights).mean(0, keepdims=True))
        material = replace(material, by_cell=mean, measured=cells)
    inputs = ChangeTokens(down, rest, backbone.gene_tokens(ids), perturbed, measured)
    return Prepared(data, inputs, material)


def _distinct(names: list[str], scorer: Scorer) -> tuple[list[str], Rows]:
    """Names of distinct genes, and the row of every gene among them: one gene may have several names."""
    _, first, row = np.unique(scorer.artifact.names.ids(names), return_index=True, return_inverse=True)
    order = np.argsort(first)
    return [names[place] for place in first[order]], np.argsort(order)[row.reshape(-1)]


def _of_genes(data: Perturbations, places: Rows) -> Perturbations:
    control = None if data.control is None else data.control[:, places]
    genes = [data.genes[place] for place in places]
    return replace(data, genes=genes, change=data.change[:, places], control=control)


def _changing_most(data: Perturbations, split: Split, most: int) -> Rows:
    """Places of the genes with the largest squared changes in the training perturbations; rising."""
    squares = np.nan_to_num(data.change[split.train].astype(np.float64)) ** 2
    return np.sort(np.argsort(-squares.mean(0), kind="stable")[:most])


def _groups(data: TaskData) -> list[str]:
    """The group of every cell, by which cell types are told."""
    if isinstance(data, Perturbations):
        return [""]
    groups = data.tissues if isinstance(data, DrugResponse) else data.group
    return [group or "not known" for group in groups]


def _by_group(data: DrugClass | DrugResponse, names: list[str], tools: Resources) -> Wiring:
    """The networks of groups of cells, as ``ugrn network --context-values --groupby`` scores them."""
    scorer, groups = tools.scorer, Groups.of(_groups(data))
    cells = Cells(DenseMatrix(data.expression), False, data.genes, groups)
    states = states_of(cells, scorer.artifact, data.name)
    networks = [strongest_targets(scorer.in_state(state), names, tools.targets) for state in states]
    return of_states(networks, groups.codes.astype(np.int64))


def _by_cell(values: Array, columns: Rows, network: Network) -> Wiring:
    """The network's edges, of which a cell has those of its active regulons.

    Args:
        values: ``[N, F]``, all that was measured.
        columns: ``[G]``, of every gene of the network; -1 where it was not measured.
    """
    active = active_regulons(values, columns, network)  # [N, G]
    return Wiring(network, active[:, network.sources].astype(np.float32), np.arange(len(values)))


def _likeness(scorer: Scorer, names: list[str]) -> Array | None:
    """Cosines ``[G, G]`` of the embeddings of genes' names, the first part of the artifact's embeddings."""
    table = scorer.artifact.embeddings
    if table is None:
        return None
    rows = scorer.artifact.names.ids(names)
    return cosine(table[rows, :PAIR_RANK].astype(np.float32))
