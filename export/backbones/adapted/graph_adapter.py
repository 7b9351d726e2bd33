"""The graph topological adapter of GRNFormer: it hands a backbone's tokens the genes' places in a network.

GraphSAGE (Hamilton et al. 2017, arXiv 1706.02216, algorithm 1 with the mean aggregator) runs over every network and
gives each gene a structure; the structures of several networks are summed. The tokens of a cell then ask, by
multi-head attention, the structures of the cell's genes, and add what they get: h + beta * fusion (GRNFormer, arXiv
2503.01682, "graph topological adapter"). beta starts at zero, so that an untrained adapter changes nothing. A cell has
one structure more, which belongs to no gene: a token that finds nothing worth knowing asks that one. It also makes what
a token takes depend on its value where the cell is one gene alone.

Shapes: G genes of the networks' list, E edges, R cells (rows), P structures of a cell, N tokens, d width of a token, s
width of a structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model.attention import attend_context
from ...model.layers import join_heads, split_heads


@dataclass(frozen=True)
class AdapterConfig:
    """Size of an adapter.

    Attributes:
        width: d, of the backbone's tokens.
        inputs: width of the gene tokens that GraphSAGE starts from.
        structure: s.
        heads: of the fusion; divides `structure`.
        depth: GraphSAGE layers, that is the number of edges a gene sees away.
        networks: number of networks that are summed.
    """

    width: int
    inputs: int
    structure: int = 64
    heads: int = 4
    depth: int = 2
    networks: int = 1


@dataclass(frozen=True)
class EdgeTensors:
    """Edges as tensors.

    Attributes:
        sources, targets: int64 ``[E]``, rows of the gene list.
        weights: ``[E]``, or ``[R, E]`` where every cell has its own: what an edge counts in a mean; None: all the same.
    """

    sources: Tensor
    targets: Tensor
    weights: Tensor | None = None


class GraphSAGE(nn.Module):
    """Genes and edges in, structures out.

    A gene takes the mean of its targets and the mean of its regulators, each through weights of its own, since the
    edges have a direction.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.of_targets = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        self.of_regulators = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))

    def forward(self, x: Tensor, edges: EdgeTensors) -> Tensor:
        """``[G, s]`` or ``[R, G, s]`` to the same; ``[R, G, s]`` where the edges' weights are per cell."""
        for own, down, up in zip(self.own, self.of_targets, self.of_regulators, strict=True):
            targets = neighbour_mean(x, edges.targets, edges.sources, edges.weights)
            regulators = neighbour_mean(x, edges.sources, edges.targets, edges.weights)
            x = F.normalize(torch.relu(own(x) + down(targets) + up(regulators)), dim=-1)
        return x


def neighbour_mean(x: Tensor, read: Tensor, write: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of ``x[..., read, :]`` over the edges of each row in `write`; zero where it has none.

    Args:
        x: ``[..., G, s]``.
        read, write: int64 ``[E]``.
        weights: ``[E]`` or ``[R, E]``, of the edges.

    Returns:
        ``[..., G, s]``.
    """
    if weights is not None and weights.dim() == 2:
        return _mean_by_row(x, read, write, weights)
    messages = x.index_select(-2, read)  # [..., E, s]
    weight = torch.ones_like(messages[..., :1]) if weights is None else weights.unsqueeze(-1)
    messages = messages * weight
    weight = weight.expand(*messages.shape[:-1], 1)
    shape = (*messages.shape[:-2], x.shape[-2])
    total = torch.zeros(*shape, x.shape[-1], dtype=x.dtype).index_add(-2, write, messages)
    count = torch.zeros(*shape, 1, dtype=x.dtype).index_add(-2, write, weight)
    return total / torch.where(count > 0, count, 1.0)


def _mean_by_row(x: Tensor, read: Tensor, write: Tensor, weights: Tensor) -> Tensor:
    """`neighbour_mean` where every row weighs the edges in its own way: one product with a matrix ``[R, G, G]`` is many
    times faster than a message for every edge and row, and for the genes of a cell it is small."""
    genes = x.shape[-2]
    matrix = torch.zeros(genes * genes, weights.shape[0], dtype=x.dtype)
    matrix = matrix.index_add(0, write * genes + read, weights.t()).t().reshape(-1, genes, genes)
    count = matrix.sum(-1, keepdim=True)
    return torch.matmul(matrix, x) / torch.where(count > 0, count, 1.0)


class GraphAdapter(nn.Module):
    """Structures from networks, and their fusion with a cell's tokens; see the module's docstring."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        width = config.structure
        self.enter = nn.Linear(config.inputs, width)
        self.graphs = nn.ModuleList(GraphSAGE(width, config.depth) for _ in range(config.networks))
        self.nobody = nn.Parameter(torch.zeros(width))
        self.query = nn.Linear(config.width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, config.width, bias=False)
        self.beta = nn.Parameter(torch.zeros(()))

    def structures(self, genes: Tensor, networks: Sequence[EdgeTensors]) -> Tensor:
        """Gene tokens ``[G, inputs]`` and one set of edges per network to structures ``[G, s]`` (``[R, G, s]`` where
        edges have weights per cell)."""
        x = self.enter(genes)
        found = [graph(x, edges) for graph, edges in zip(self.graphs, networks, strict=True)]
        return cast(Tensor, sum(found[1:], found[0]))

    def fuse(self, tokens: Tensor, structures: Tensor, hidden: Tensor | None = None) -> Tensor:
        """The tokens with what they take from the structures added.

        Args:
            tokens: ``[R, N, d]``; may be a `Dual`.
            structures: ``[R, P, s]``, or ``[1, P, s]`` where all cells have the same.
            hidden: bool ``[R, P]``; structures that a cell's tokens must not see.

        Returns:
            ``[R, N, d]``.
        """
        heads = self.config.heads
        nobody = self.nobody.expand(structures.shape[0], 1, self.nobody.shape[0])
        seen = torch.cat([nobody, structures], dim=1)  # [R, 1 + P, s]
        mask = None
        if hidden is not None:
            seen = seen.expand(hidden.shape[0], *seen.shape[1:])
            never = torch.zeros(hidden.shape[0], 1, dtype=torch.bool, device=hidden.device)
            mask = torch.cat([never, hidden], dim=1).unsqueeze(1).unsqueeze(1)  # [R, 1, 1, 1 + P]
        q = split_heads(self.query(tokens), heads)  # [R, H, N, s/H]
        k, v = (split_heads(each(seen), heads) for each in (self.key, self.value))
        return cast(Tensor, tokens + self.out(join_heads(attend_context(q, k, v, mask))) * self.beta)
