"""The small models of the three tasks: a frozen backbone's tokens, a graph adapter behind them, and a head.

All arms of a comparison have the same model, but that ``both`` and ``random both`` have two networks, each with a
GraphSAGE of its own, and that ``none`` never asks its adapter. A head is made before the adapter, so that all arms
start from the same head.

Shapes: G genes of the networks, R cells, P visible genes, d width of a token, s of a structure, h of a hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugrn.export.backbones.adapted.graph_adapter import AdapterConfig, EdgeTensors, GraphAdapter

SMALL = 1e-2  # standard deviation of a feature, below which it is taken to be this


@dataclass(frozen=True)
class ModelSizes:
    """Sizes that all arms share.

    Attributes:
        structure: s.
        heads: of the fusion; divides `structure`.
        depth: how many edges a gene sees away.
        hidden: h of the heads; of a perturbation the rank of its change; 0: a linear head, where there is one.
        reads: numbers that are read of every visible gene, beside what is pooled.
    """

    structure: int = 32
    heads: int = 4
    depth: int = 2
    hidden: int = 64
    reads: int = 4


@dataclass(frozen=True)
class BaseTokens:
    """Tokens of cells without an adapter, by which heads standardise.

    Attributes:
        pooled: ``[N, 2 d]``, of the training cells, see `pool`.
        centre: ``[P, d]``, the mean token of every visible gene.
        spread: standard deviation of their tokens around it.
    """

    pooled: Tensor
    centre: Tensor
    spread: float


class Adapted(nn.Module):
    """An adapter over the genes of its networks.

    Args:
        sizes: see `ModelSizes`.
        width: d.
        genes: gene tokens ``[G, inputs]``.
        networks: how many it has; 0 leaves it out.
    """

    def __init__(self, sizes: ModelSizes, width: int, genes: Tensor, networks: int) -> None:
        super().__init__()
        self.genes: Tensor
        self.register_buffer("genes", genes, persistent=False)
        self.networks = networks
        config = AdapterConfig(width, genes.shape[1], sizes.structure, sizes.heads, sizes.depth, max(1, networks))
        self.adapter = GraphAdapter(config)

    def structures(self, edges: Sequence[EdgeTensors]) -> Tensor | None:
        """``[G, s]``, or ``[R, G, s]`` where the edges' weights are per cell; None without networks."""
        return self.adapter.structures(self.genes, edges) if self.networks else None

    def fused(self, tokens: Tensor, structures: Tensor | None) -> Tensor:
        """Tokens as heads read them, ``[R, 1 + P, d]``.

        Args:
            tokens: ``[R, 1 + P, d]``.
            structures: of the cells' genes, ``[P, s]`` or ``[R, P, s]``.
        """
        if structures is not None:
            structures = structures if structures.dim() == 3 else structures.unsqueeze(0)
            tokens = self.adapter.fuse(tokens, structures)
        return tokens


def pool(tokens: Tensor) -> Tensor:
    """Tokens ``[R, 1 + P, d]`` to ``[R, 2 d]``: ``<cls>``, and the mean of the genes."""
    return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=-1)


class Standard(nn.Module):
    """Features ``[R, F]`` less a mean, over a standard deviation, both of given rows ``[N, F]``."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", rows.mean(0))
        self.register_buffer("scale", 1.0 / rows.std(0, correction=0).clamp(min=SMALL))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


class CellReader(nn.Module):
    """Tokens ``[R, 1 + P, d]`` to features ``[R, width]``: what is pooled, and a few numbers of every gene.

    Pooled alone, which gene a value is of is all but lost, and so is most of what a linear model of expression sees.
    """

    def __init__(self, plain: BaseTokens, reads: int) -> None:
        super().__init__()
        genes, width = plain.centre.shape
        self.centre: Tensor
        self.register_buffer("centre", plain.centre, persistent=False)
        self.scale = 1.0 / max(plain.spread, SMALL)
        self.standard = Standard(plain.pooled)
        self.read = nn.Linear(width, reads, bias=False)
        self.width = 2 * width + reads * genes

    def forward(self, tokens: Tensor) -> Tensor:
        each = self.read((tokens[:, 1:] - self.centre) * self.scale)  # [R, P, reads]
        return torch.cat([self.standard(pool(tokens)), each.flatten(1)], dim=-1)


class ClassModel(nn.Module):
    """Cells to the logit of their class.

    Args:
        sizes, genes, networks: see `Adapted`.
        plain: see `BaseTokens`.
    """

    def __init__(self, sizes: ModelSizes, genes: Tensor, plain: BaseTokens, networks: int) -> None:
        super().__init__()
        self.reader = CellReader(plain, sizes.reads)
        self.head = _head(self.reader.width, sizes.hidden)
        self.adapted = Adapted(sizes, plain.centre.shape[1], genes, networks)

    def forward(self, tokens: Tensor, edges: Sequence[EdgeTensors]) -> Tensor:
        """Logits ``[R]``."""
        fused = self.adapted.fused(tokens, self.adapted.structures(edges))
        return cast(Tensor, self.head(self.reader(fused)).squeeze(-1))


class ResponseModel(nn.Module):
    """Cell lines and drugs to standardised responses, by a perceptron over both.

    Args:
        sizes, genes, plain, networks: as for `ClassModel`.
        fingerprints: ``[D, B]``, of all drugs.
    """

    def __init__(
        self, sizes: ModelSizes, genes: Tensor, plain: BaseTokens, networks: int, fingerprints: Tensor
    ) -> None:
        super().__init__()
        hidden = sizes.hidden
        self.fingerprints: Tensor
        self.register_buffer("fingerprints", fingerprints, persistent=False)
        self.reader = CellReader(plain, sizes.reads)
        self.line = nn.Linear(self.reader.width, hidden)
        self.drug = nn.Sequential(nn.Linear(fingerprints.shape[1], hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.head = _head(hidden, hidden)
        self.adapted = Adapted(sizes, plain.centre.shape[1], genes, networks)

    def forward(self, tokens: Tensor, edges: Sequence[EdgeTensors], line: Tensor, drug: Tensor) -> Tensor:
        """Responses ``[M]`` of pairs.

        Args:
            tokens: of the lines that the pairs are of, ``[R, 1 + P, d]``.
            edges: these lines'.
            line: ``[M]``, row of `tokens`.
            drug: ``[M]``, row of the fingerprints.
        """
        features = self.reader(self.adapted.fused(tokens, self.adapted.structures(edges)))
        drugs = self.drug(self.fingerprints)
        return cast(Tensor, self.head(F.gelu(self.line(features)[line] + drugs[drug])).squeeze(-1))


class ChangeModel(nn.Module):
    """Perturbed genes to standardised changes of genes, ``u_j . v_p`` beside the mean change; 0 before training.

    v_p is read from the virtual cell in which p alone is knocked down, u_j from that in which j alone is at its
    baseline; each cell's one gene has the structure that the networks give it.

    Args:
        sizes, networks: see `Adapted`.
        genes: gene tokens ``[G, inputs]`` of all that are perturbed or measured.
        down, rest: tokens ``[G, 2, d]`` of these cells, for every gene.
    """

    def __init__(self, sizes: ModelSizes, genes: Tensor, down: Tensor, rest: Tensor, networks: int) -> None:
        super().__init__()
        self.down: Tensor
        self.rest: Tensor
        self.register_buffer("down", down, persistent=False)
        self.register_buffer("rest", rest, persistent=False)
        self.of_down, self.of_rest = Standard(pool(down)), Standard(pool(rest))
        inputs = 2 * down.shape[-1]
        self.effect = nn.Linear(inputs, sizes.hidden)
        self.answer = nn.Linear(inputs, sizes.hidden)
        nn.init.zeros_(self.effect.weight)
        nn.init.zeros_(self.effect.bias)
        self.adapted = Adapted(sizes, down.shape[-1], genes, networks)

    def forward(self, edges: Sequence[EdgeTensors], perturbed: Tensor, measured: Tensor) -> Tensor:
        """Changes ``[R, Q]`` of measured genes when genes are perturbed; both as rows of the genes."""
        structures = self.adapted.structures(edges)

        def features(tokens: Tensor, rows: Tensor) -> Tensor:
            own = None if structures is None else structures[rows].unsqueeze(1)
            return pool(self.adapted.fused(tokens[rows], own))

        v = self.effect(self.of_down(features(self.down, perturbed)))  # [R, h]
        u = self.answer(self.of_rest(features(self.rest, measured)))  # [Q, h]
        return cast(Tensor, v @ u.transpose(0, 1) * (v.shape[-1] ** -0.5))


def _head(inputs: int, hidden: int) -> nn.Module:
    """``[..., inputs]`` to ``[..., 1]``: a perceptron of one hidden layer, or a linear map."""
    if hidden == 0:
        return nn.Linear(inputs, 1)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, 1))
