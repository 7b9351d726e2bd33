"""scBERT (Yang et al. 2022, Nature Machine Intelligence, doi:10.1038/s42256-022-00534-z): ``panglao_pretrained.pth``.

A Performer over all 16,906 genes and one constant last token. A gene's token is the embedding of its expression
bin, log2(1 + CP10K) cut to 0 … 5, plus its gene2vec vector; genes outside the context carry bin 0. Bins have no
derivative, so a level is embedded by linear interpolation between its neighbouring bins: the gradient is a
surrogate, exact only as a secant between bins. M_j is the expected bin. In training 15 % of the expressed genes
are masked and predicted: ``masked`` is the trained readout.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import BackboneShape
from ugrn.runtime.errors import InputError
from ugrn.runtime.files.cells import open_cells

from ..model.base import BackboneCard, Loaded, Origin, Readout, VirtualCells
from ..model.checkpoint_files import find_file, read_state
from ..model.family import Family
from ..model.layers import interpolated
from ..model.performer import PerformerLayer, fill_performer
from ..model.weights import Weights, checkpoint_metadata

HEADS = 10
BINS = 6  # 0 … 5; token 6 is the mask
CARD = BackboneCard(
    name="scbert",
    licence="GPL-3.0-or-later",
    units="log2(1 + 1e4 x / sum), from 0 to 5; genes outside the context carry 0, whatever the baseline",
    scale="log2-cp10k",
    baseline=1.0,
    vvp_levels=(0.0, 0.5, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0),
    gdt_levels=(0.25, 0.75, 1.5, 2.25, 2.75, 3.5, 4.25, 4.75),
    readouts={"masked": "", "token": "scBERT's loss reads masked genes only, not tokens that carry their value"},
    gradient="surrogate",
    notice="scBERT's licence, GPL-3.0, covers source and weights: whoever you give this artifact gets it under GPL-3.0",
    range=(0.0, 5.0),
)


@dataclass(frozen=True)
class ScBERTOptions:
    """Choices that upstream leaves open.

    Attributes:
        expressed_only: expect over the bins 1 … 5, which upstream's own predictions are restricted to, instead
            of 0 … 5.
    """

    expressed_only: bool = False


class ScBERT(nn.Module):
    """The frozen model. V genes, N = V + 1 tokens, width d."""

    def __init__(self, weights: Weights, symbols: list[str], first_bin: int) -> None:
        super().__init__()
        self.symbols = symbols
        self.card = CARD
        self.first_bin = first_bin
        width = weights.shape("token_emb.weight")[1]
        features, head_width = weights.shape("performer.net.layers.0.0.fn.fast_attention.projection_matrix")
        feedforward = weights.shape("performer.net.layers.0.1.fn.fn.w1.weight")[0]
        depth = len({key.split(".")[3] for key in weights.names("performer.net.layers.")})
        self.shape = BackboneShape(width, HEADS, feedforward, depth, len(symbols) + 1, features)
        self.token_emb = nn.Embedding(BINS + 1, width)
        self.pos_emb = nn.Embedding(len(symbols) + 1, width)
        self.stack = nn.ModuleList(
            PerformerLayer(width, HEADS, head_width, features, feedforward, qkv_bias=False) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.to_out = nn.Linear(width, BINS + 1)

    @property
    def last_layer(self) -> nn.Module:
        return self.stack[-1]

    def gene_tokens(self, genes: Tensor) -> Tensor:
        return cast(Tensor, self.pos_emb(genes))

    def predict(self, cells: VirtualCells, targets: Tensor, readout: Readout) -> Tensor:
        x = self._tokens(cells)  # [R, N, d]
        if readout == "token":
            for index, layer in enumerate(self.stack):
                x = layer(x, targets if index + 1 == len(self.stack) else None)
            return self._expected_bin(x)
        asked = self.token_emb.weight[BINS] + self.pos_emb(targets)  # [Q, d]
        queries = asked.expand(cells.count, *asked.shape)
        for layer in self.stack:
            x, queries = cast(PerformerLayer, layer).ask(x, queries, targets)
        return self._expected_bin(queries)

    def _tokens(self, cells: VirtualCells) -> Tensor:
        values = torch.zeros_like(self.pos_emb.weight[:, 0])  # [N]
        values = torch.scatter(values, 0, cells.context, cells.context_values)
        plain = self._embed(values) + self.pos_emb.weight
        source = self._embed(cells.levels) + self.pos_emb(cells.sources)  # [R, d]
        places = torch.arange(plain.shape[0], device=cells.sources.device)
        here = (places.unsqueeze(0) == cells.sources.unsqueeze(1)).unsqueeze(-1)  # [R, N, 1]
        return torch.where(here, source.unsqueeze(1), plain)

    def _embed(self, values: Tensor) -> Tensor:
        """Values ``[...]``, cut to 0 … 5 as in training, to ``[..., d]`` by interpolation between neighbouring bins."""
        return interpolated(self.token_emb.weight, torch.clamp(values, 0.0, BINS - 1.0), BINS - 1)

    def _expected_bin(self, tokens: Tensor) -> Tensor:
        logits = self.to_out(self.norm(tokens))[..., self.first_bin : BINS]
        bins = torch.arange(self.first_bin, BINS, dtype=logits.dtype, device=logits.device)
        return (F.softmax(logits, dim=-1) * bins).sum(-1)


def load(folder: Path, options: ScBERTOptions) -> Loaded:
    """Read a folder with ``panglao_pretrained.pth`` and the gene order.

    The order is that of the variables of the authors' ``panglao_10000.h5ad``: give this file, or a
    ``genes.txt`` of it. gene2vec is a part of the checkpoint; where it was taken out, ``gene2vec_16906.npy``. Raises
    as `Family.load`.
    """
    path = find_file(folder, ["panglao_pretrained.pth", "scbert.safetensors"])
    whole = read_state(path)
    weights = Weights(whole.get("model_state_dict", whole), path, "scBERT")
    symbols, order_path = _gene_order(folder)
    model = ScBERT(weights, symbols, int(options.expressed_only))
    places = _gene2vec(folder, weights, len(symbols), model.shape.width)
    weights.fill(model, {"token_emb": "token_emb", "norm": "norm", "to_out": "to_out"})
    with torch.no_grad():
        model.pos_emb.weight.copy_(places)
    for index, layer in enumerate(model.stack):
        fill_performer(cast(PerformerLayer, layer), weights, f"performer.net.layers.{index}.")
    vectors = folder / "gene2vec_16906.npy"
    weights.ignore("performer.calls_since_last_redraw", "counter of training")
    metadata = checkpoint_metadata(
        "scbert", asdict(options), [each for each in (path, order_path, vectors) if each.is_file()], weights
    )
    return Loaded(model.eval(), Origin(provenance=metadata))


def _gene_order(folder: Path) -> tuple[list[str], Path]:
    try:
        path = find_file(folder, ["genes.txt", "panglao_10000.h5ad"])
    except InputError as error:
        message = (
            f"{error}. scBERT's checkpoint does not name its genes: their order is that of the variables of the "
            "authors' panglao_10000.h5ad; put this file, or a genes.txt with one symbol per line, into the folder"
        )
        raise InputError(message) from error
    symbols = _gene_names(path)
    if len(set(symbols)) != len(symbols):
        message = f"{path}: {len(symbols)} genes, {len(set(symbols))} distinct; expected distinct symbols"
        raise InputError(message)
    return symbols, path


def _gene_names(path: Path) -> list[str]:
    if path.suffix == ".h5ad":
        with open_cells(path) as cells:
            return cells.var().index()
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read ({error}); expected a text file with one symbol per line"
        raise InputError(message) from error


def _gene2vec(folder: Path, weights: Weights, genes: int, width: int) -> Tensor:
    """Position vectors ``[V + 1, d]``: of the checkpoint, or gene2vec and a row of zeros."""
    if "pos_emb.emb.weight" in weights:
        return weights.take("pos_emb.emb.weight", (genes + 1, width))
    path = folder / "gene2vec_16906.npy"
    if not path.is_file():
        message = (
            f"{folder}: neither the checkpoint (pos_emb.emb.weight) nor the folder (gene2vec_16906.npy) has the gene "
            "vectors; the authors of scBERT give gene2vec_16906.npy on request"
        )
        raise InputError(message)
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        message = f"{path}: cannot be read ({error}); expected an array of {genes} x {width} numbers"
        raise InputError(message) from error
    if not isinstance(vectors, np.ndarray) or vectors.dtype.kind not in "fiu":
        message = f"{path}: holds no numbers; expected an array of {genes} x {width}"
        raise InputError(message)
    if vectors.shape != (genes, width) or not np.isfinite(vectors).all():
        message = f"{path}: shape {vectors.shape}, expected {(genes, width)} finite numbers"
        raise InputError(message)
    return torch.from_numpy(np.concatenate([vectors, np.zeros((1, width))]).astype(np.float32))


FAMILY = Family(ScBERTOptions, load)
