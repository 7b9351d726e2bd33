"""The Geneformer model: soft ranks, and what is read of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import BackboneShape

from ...model.base import BackboneCard, Readout, VirtualCells
from ...model.layers import PostNormLayer, interpolated
from ...model.streams import Context, alike, encode

CARD = BackboneCard(
    name="geneformer",
    licence="Apache-2.0",
    units="counts per 10,000 of the cell, before the division by the gene's median",
    scale="cp10k",
    baseline=1.0,
    vvp_levels=(0.125, 0.25, 0.5, 2.0, 4.0, 8.0, 16.0, 32.0),
    gdt_levels=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0),
    readouts={
        "masked": "",
        "token": "the identity of a token that shows it is hardly a prediction (self leak)",
        "shift": "a distance, not a prediction; it has no sign",
        "rank": "",
    },
    gradient="surrogate",
    range=(1e-6, float("inf")),
    range_note="a gene without counts has no rank and leaves the cell",
    predicts="how likely a gene is at a place of the ranking",
)


@dataclass(frozen=True)
class GeneformerOptions:
    """Choices that upstream leaves open.

    Attributes:
        temperature: t of the soft rank, in units of ln s.
        log_probability: read log-probabilities among the genes instead of logits; reads the whole vocabulary for
            every target.
        allow_pickle: read the dictionaries as pickles, as upstream ships them. Only with files you trust: a
            pickle can run code. Here it is read by an unpickler that knows nothing but plain data and NumPy
            numbers, yet the safe way is to convert the dictionaries to JSON once.
    """

    temperature: float = 0.25
    log_probability: bool = False
    allow_pickle: bool = False


@dataclass(frozen=True)
class Sizes:
    """Sizes of a checkpoint, of its ``config.json``."""

    width: int
    heads: int
    feedforward: int
    layers: int
    positions: int
    eps: float


class Geneformer(nn.Module):
    """The frozen model. V genes, width d, P positions."""

    def __init__(self, sizes: Sizes, symbols: list[str], options: GeneformerOptions) -> None:
        super().__init__()
        self.symbols = symbols
        self.card = CARD
        self.options = options
        width, vocabulary = sizes.width, len(symbols) if options.log_probability else 0
        self.shape = BackboneShape(width, sizes.heads, sizes.feedforward, sizes.layers, vocabulary=vocabulary)
        self.words = nn.Embedding(len(symbols), width)
        self.positions = nn.Embedding(sizes.positions, width)
        # Word vectors of the special tokens, and token type 0.
        self.mask, self.cls, self.eos, self.kind = (nn.Buffer(torch.zeros(width)) for _ in range(4))
        self.framed = False  # True where <cls> and <eos> frame the cell (V2)
        self.median = nn.Buffer(torch.ones(len(symbols)))
        self.log_median = nn.Buffer(torch.zeros(len(symbols)))
        self.embed_norm = nn.LayerNorm(width, eps=sizes.eps)
        self.stack = nn.ModuleList(
            PostNormLayer(width, sizes.heads, sizes.feedforward, eps=sizes.eps) for _ in range(sizes.layers)
        )
        self.transform = nn.Linear(width, width)
        self.transform_norm = nn.LayerNorm(width, eps=sizes.eps)
        self.bias = nn.Parameter(torch.zeros(len(symbols)))

    @property
    def last_layer(self) -> nn.Module:
        return self.stack[-1]

    def gene_tokens(self, genes: Tensor) -> Tensor:
        return cast(Tensor, self.words(genes))

    def predict(self, cells: VirtualCells, targets: Tensor, readout: Readout) -> Tensor:
        if readout == "rank":
            return -self._expected_rank(cells, targets)
        answered = self._answer(cells, targets, readout)  # [R, Q, d]
        if readout == "shift":
            still = replace(cells, levels=torch.full_like(cells.levels.detach(), cells.baseline))
            return 1.0 - _cosine(answered, self._answer(still, targets, readout))
        if self.options.log_probability:
            places = targets.reshape(1, -1, 1).expand(cells.count, targets.shape[0], 1)
            return torch.gather(self._log_probabilities(answered), -1, places).squeeze(-1)
        hidden = self.transform_norm(torch.relu(self.transform(answered)))
        return cast(Tensor, (hidden * self.words(targets)).sum(-1) + self.bias[targets])

    def _log_probabilities(self, answered: Tensor) -> Tensor:
        """Outputs ``[R, N, d]`` to log-probabilities of all genes ``[R, N, V]``."""
        hidden = self.transform_norm(torch.relu(self.transform(answered)))
        return F.log_softmax(torch.matmul(hidden, self.words.weight.transpose(0, 1)) + self.bias, dim=-1)

    def _answer(self, cells: VirtualCells, targets: Tensor, readout: Readout) -> Tensor:
        """Outputs ``[R, Q, d]`` of queries that stand where the targets do, or would."""
        ahead = self._ranks(cells)
        words = self.mask.expand(targets.shape[0], self.mask.shape[0]) if readout == "masked" else self.words(targets)
        queries = self._embed(words, self._target_ranks(cells, targets, ahead))
        in_context = cells.target_in_context(targets).expand(cells.count, targets.shape[0], cells.context.shape[0])
        return self._ask(cells, ahead, queries, cells.target_is_source(targets), in_context)

    def _expected_rank(self, cells: VirtualCells, targets: Tensor) -> Tensor:
        """``[R, Q]``: the position a target is expected at, among those of the P = 1 + C genes a cell can have."""
        ahead = self._ranks(cells)
        places = torch.arange(1 + cells.context.shape[0], device=targets.device).unsqueeze(0)  # [1, P]
        genes = (~self._absent(cells, ahead)).sum(1, keepdim=True) + 1  # of the cell, [R, 1]
        shown = places.expand(cells.count, places.shape[1])
        queries = self._embed(self.mask, shown.to(self.mask.dtype))
        at_source = _whole(ahead.source).unsqueeze(1) == shown
        at_context = _whole(ahead.context).unsqueeze(1) == shown.unsqueeze(2)
        logs = self._log_probabilities(self._ask(cells, ahead, queries, at_source, at_context))  # [R, P, V]
        logs = torch.gather(logs, -1, targets.expand(*shown.shape, targets.shape[0]))  # [R, P, Q]
        logs = torch.masked_fill(logs, (places >= genes).unsqueeze(2), -1e30)
        return (torch.softmax(logs, dim=1) * places.unsqueeze(2).to(self.mask.dtype)).sum(1)

    def _ask(self, cells: VirtualCells, ahead: Ranks, queries: Tensor, is_source: Tensor, is_context: Tensor) -> Tensor:
        """Outputs ``[R, N, d]`` of query tokens, which do not see the gene of their own place: bool ``[R, N]`` where
        it is the source, bool ``[R, N, C]`` where it is a context gene."""
        source = self._embed(self.words(cells.sources).unsqueeze(1), ahead.source.unsqueeze(1))  # [R, 1, d]
        context = self._embed(self.words(cells.context), ahead.context)  # [R, C, d]
        hidden = self._absent(cells, ahead)
        tokens = [source, context]
        first = 0
        if self.framed:
            count = (~hidden).sum(1, keepdim=True) + 1  # genes of the cell, [R, 1]
            frame = self._fixed(self.cls, torch.zeros_like(count)), self._fixed(self.eos, count + 1)
            tokens, first = [frame[0], source, context, frame[1]], 1
        before = torch.zeros(cells.count, 1 + first, dtype=torch.bool, device=hidden.device)
        unseen = torch.cat([before, hidden, before[:, :first]], dim=1).unsqueeze(1).unsqueeze(1)  # [R, 1, 1, L]
        frames = torch.zeros(cells.count, is_source.shape[1], first, dtype=torch.bool, device=hidden.device)
        own = torch.cat([frames, is_source.unsqueeze(-1), is_context, frames], dim=2).unsqueeze(1)  # [R, 1, N, L]
        return cast(
            Tensor, encode(alike(self.stack), Context(torch.cat(tokens, dim=1), unseen), None, queries, own | unseen)[1]
        )

    def _absent(self, cells: VirtualCells, ahead: Ranks) -> Tensor:
        """Bool ``[R, C]``: context genes that are not in the cell."""
        return cells.context_is_source | (cells.context_values <= 0).unsqueeze(0) | (ahead.hard >= self._longest())

    def _longest(self) -> int:
        """The number of genes that a cell can have."""
        return self.positions.num_embeddings - (2 if self.framed else 0)

    def _ranks(self, cells: VirtualCells) -> Ranks:
        """Positions of the source ``[R]`` and the context ``[R, C]`` among the genes of their cell."""
        present = (cells.context_values > 0).to(self.log_median.dtype)  # [C]
        score = self._score(cells.context, cells.context_values)  # [C]
        others = present * (1.0 - cells.context_is_source.to(present.dtype))  # [R, C]
        ratio = cells.context_values / self.median[cells.context]
        before = _before(ratio, cells.context, ratio, cells.context)  # [C, C]
        hard = torch.matmul(others, before.transpose(0, 1))  # [R, C]
        moving = torch.log(cells.levels) - self.log_median[cells.sources]  # [R]
        lead = (moving.unsqueeze(1) - score) * (1.0 / self.options.temperature)  # [R, C]
        return Ranks((torch.sigmoid(-lead) * others).sum(1), hard + torch.sigmoid(lead), hard, moving, others)

    def _target_ranks(self, cells: VirtualCells, targets: Tensor, ranks: Ranks) -> Tensor:
        """``[R, Q]``: the position a target has, or would have, in the cell."""
        values = cells.plain_values(targets)
        score = self._score(targets, values)  # [Q]
        ratio, others = values / self.median[targets], cells.context_values / self.median[cells.context]
        before = _before(ratio, targets, others, cells.context)
        before = before * (1.0 - cells.target_in_context(targets).to(before.dtype))  # [Q, C]
        hard = torch.matmul(ranks.others, before.transpose(0, 1))
        lead = (ranks.moving.unsqueeze(1) - score) * (1.0 / self.options.temperature)
        return torch.where(cells.target_is_source(targets), ranks.source.unsqueeze(1), hard + torch.sigmoid(lead))

    def _score(self, genes: Tensor, values: Tensor) -> Tensor:
        return torch.log(torch.clamp(values, min=1e-30)) - self.log_median[genes]

    def _embed(self, words: Tensor, ranks: Tensor) -> Tensor:
        """Word vectors ``[..., d]`` at soft positions ``[R, ...]``, interpolated between whole ones."""
        ranks = torch.clamp(ranks, max=self._longest() - 1.0) + (1.0 if self.framed else 0.0)
        place = interpolated(self.positions.weight, ranks, self.positions.num_embeddings - 1)
        return cast(Tensor, self.embed_norm(words + place + self.kind))

    def _fixed(self, word: Tensor, places: Tensor) -> Tensor:
        """A special token at whole places ``[R, 1]``: ``[R, 1, d]``."""
        places = torch.clamp(places, max=self.positions.num_embeddings - 1)
        return cast(Tensor, self.embed_norm(word + self.positions(places) + self.kind))


@dataclass(frozen=True)
class Ranks:
    """Positions in the cells: soft of source and context, hard of the context without the source, and what the
    targets' positions need: ln s of the source, and which context genes count."""

    source: Tensor
    context: Tensor
    hard: Tensor
    moving: Tensor
    others: Tensor


def _before(ratio: Tensor, genes: Tensor, others: Tensor, other_genes: Tensor) -> Tensor:
    """``[A, B]``: 1 where other gene b ranks before gene a, by v / median; equal ones by token id.

    Ratios and not their logarithms: a division gives the same bits wherever in a vector it is done.
    """
    mine, theirs = ratio.unsqueeze(1), others.unsqueeze(0)
    tie = (theirs == mine) & (other_genes.unsqueeze(0) < genes.unsqueeze(1))
    return ((theirs > mine) | tie).to(ratio.dtype)


def _whole(ranks: Tensor) -> Tensor:
    """Ranks rounded to whole positions, without a tangent."""
    return torch.floor(ranks.detach() + 0.5).long()


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    lengths = (a * a).sum(-1) * (b * b).sum(-1)
    return (a * b).sum(-1) * torch.exp(-0.5 * torch.log(lengths))
