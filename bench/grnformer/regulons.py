"""The regulons of a network that are active in the cells of a data set, as ``ugrn cell-networks`` tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ugrn.export.networks.activity import above_chance, score_activities
from ugrn.export.networks.cell_files import CellFile
from ugrn.export.networks.network import Network
from ugrn.export.networks.per_cell import CellNetworkSettings, thresholds
from ugrn.runtime.arrays import Array
from ugrn.runtime.progress import silent

from .data import Rows

SETTINGS = CellNetworkSettings()


def active_regulons(values: Array, columns: Rows, network: Network) -> NDArray[np.bool_]:
    """Bool ``[N, G]``, True where the targets of a gene are active in a cell.

    A gene of whose targets fewer than `SETTINGS.min_targets` are measured is active nowhere.

    Args:
        values: ``[N, F]``, all that was measured; only the order within a cell counts.
        columns: ``[G]``, the column of every gene of the network; -1 where it was not measured.
        network: whose sources with their targets are the regulons.
    """
    count, features = values.shape
    column = columns[network.targets]
    there = column >= 0
    sizes = np.bincount(network.sources[there], minlength=network.genes)
    scored = np.flatnonzero(sizes >= SETTINGS.min_targets)
    active = np.zeros((count, network.genes), bool)
    if len(scored) == 0:
        return active
    places = column[there], network.sources[there]
    members = sp.csc_array((np.ones(len(places[0])), places), shape=(features, network.genes))[:, scored]
    names = [str(row) for row in range(count)], [""] * features
    cells = CellFile(Path(), "", *names, sp.csr_array(values), False, {})
    activity, credit = score_activities(cells, members, SETTINGS.top_share, silent)
    active[:, scored] = activity > thresholds(activity, above_chance(members, credit), silent)
    return active
