"""Tokens of cells by a frozen backbone: those behind its last layer, computed once for a data set.

The tokens do not depend on what is fitted on them, so all networks and seeds share them. Shapes: N cells, P visible
genes, d width of a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ugrn.export.model.adaptable import AdaptableBackbone
from ugrn.export.model.attention import attend_context
from ugrn.export.model.base import Loaded, Readout
from ugrn.export.model.streams import StreamBackbone
from ugrn.export.pretrain.corpus import CLIP
from ugrn.runtime.arrays import Array
from ugrn.runtime.engine.units import CONVERSIONS, Cells, convert_cells
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.annotations import Groups
from ugrn.runtime.files.matrices import DenseMatrix
from ugrn.runtime.genes.names import GeneNames

from .data import Rows

BATCH = 64
Tokens = NDArray[np.float16]


@dataclass(frozen=True)
class Frozen:
    """A backbone whose tokens are read and which is never trained.

    Attributes:
        model: the backbone, in evaluation mode, with the parts of `ugrn.export.model.streams`.
        names: its vocabulary.
        readout: its default one, where a layer depends on it.
        scale: how cells become its units, one of `ugrn.runtime.engine.units.CONVERSIONS`.
        baseline: v_b, in these units.
    """

    model: AdaptableBackbone
    names: GeneNames
    readout: Readout
    scale: str
    baseline: float

    @property
    def _parts(self) -> StreamBackbone:
        return cast(StreamBackbone, self.model)

    @torch.no_grad()
    def gene_tokens(self, ids: Rows) -> Array:
        """Gene ids ``[G]`` to what the model knows of them whatever their values: ``[G, width]``."""
        return self.model.gene_tokens(torch.from_numpy(np.array(ids))).numpy().astype(np.float32)

    @torch.no_grad()
    def tokens(self, ids: Rows, values: Array) -> Tokens:
        """Tokens of cells behind the last layer, ``[N, 1 + P, d]``: ``<cls>``, then the genes.

        A model that knows no ``<cls>`` has the mean of the genes in its place.

        Args:
            ids: ``[N, P]``, or ``[P]`` where all cells show the same genes.
            values: ``[N, P]``, in the model's units.
        """
        genes = np.broadcast_to(ids, values.shape)
        rows = range(0, len(values), BATCH)
        parts = [self._batch(genes[row : row + BATCH], values[row : row + BATCH]) for row in rows]
        return np.concatenate(parts)

    def _batch(self, ids: Rows, values: Array) -> Tokens:
        x = self._parts.embed(torch.from_numpy(np.array(ids)), torch.from_numpy(np.array(values)))
        cls = self._parts.cls_token()
        if cls is not None:
            x = torch.cat([cls.expand(len(x), 1, cls.shape[0]), x], dim=1)
        for layer, _ in self._parts.layers(self.readout):
            q, k, v = layer.project(x)
            x = layer.merge(x, attend_context(q, k, v, None))
        if cls is None:
            x = torch.cat([x.mean(1, keepdim=True), x], dim=1)
        return x.to(torch.float16).numpy()


def frozen(loaded: Loaded) -> Frozen:
    """A loaded backbone, to read tokens of.

    Raises:
        InputError: it is not made of layers over gene tokens.
    """
    model, card = loaded.backbone, loaded.backbone.card
    lacking = [part for part in ("layers", "embed", "cls_token") if not hasattr(model, part)]
    if lacking:
        message = (
            f"backbone {card.name}: has no {', '.join(lacking)}, from which the tokens of a cell are read; expected a "
            "transformer whose tokens are genes: mini, scgpt or scbenchmark"
        )
        raise InputError(message)
    model = cast(Any, model).requires_grad_(False).eval()
    names = GeneNames(model.symbols, loaded.origin.aliases)
    return Frozen(model, names, next(iter(card.readouts)), card.scale, card.baseline)


def in_units(values: Array, scale: str, standardised: bool, name: str) -> Array:
    """Cells ``[N, G]`` in a model's units, each for itself; z-scores are against all the cells given.

    Args:
        values: ln(1 + 1e4 x / sum), or z-scores per gene where `standardised`.
        scale: see `Frozen`.
        name: of the data set, for messages.

    Raises:
        InputError: see `check_units`.
    """
    check_units(scale, standardised, name)
    cells = Cells(DenseMatrix(values), False, [], Groups.one(len(values)))
    found = convert_cells(cells, np.arange(values.shape[1]), scale)
    return np.clip(found, *CLIP) if scale == "z-score" else found


def check_units(scale: str, standardised: bool, name: str) -> None:
    """Refuse cells that cannot be brought to a model's units. Arguments as of `in_units`.

    Raises:
        InputError: they cannot.
    """
    if scale not in CONVERSIONS or scale == "ln-counts" or (standardised and scale != "z-score"):
        held = "z-scores" if standardised else "ln(1 + 1e4 x / sum)"
        message = (
            f"{name}: holds {held}, which cannot be brought to the backbone's units ({scale or 'not stated'}); choose "
            "other tasks with --task, or another --checkpoint"
        )
        raise InputError(message)


def known_genes(genes: list[str], *vocabularies: GeneNames) -> Rows:
    """Places of the genes that all vocabularies know; of several names of one gene the first; rising."""
    kept = np.ones(len(genes), bool)
    for ids in (names.ids(genes) for names in vocabularies):
        first = np.zeros(len(genes), bool)
        first[np.unique(ids, return_index=True)[1]] = True
        kept &= first & (ids >= 0)
    return np.flatnonzero(kept)


def most_variable(values: Array, most: int) -> Rows:
    """Places of the genes that vary most over cells ``[N, G]`` when each cell's mean is taken off; rising.

    The mean is taken off because genes of z-scores vary all alike.
    """
    variance = (values - values.mean(1, keepdims=True)).var(0)
    return np.sort(np.argsort(-variance, kind="stable")[:most]).astype(np.int64)
