"""scBenchmark (Qi et al., AAAI 2025): checkpoint folders of its training script, transformer variant.

A folder holds ``args.json``, ``vocab.json`` and ``best_model.pt`` (or ``model-ep{E}.pt`` renamed so). A token is
E[gene] + W2 relu(W1 v + b1) + b2 without any normalisation, so the value encoding is piecewise linear; the
layers are post-norm with ReLU and as wide inside as outside. Values are ln(1 + counts) of expressed genes; masked
genes carry -1 in training, and the losses read the masked tokens and ``<cls>``, so ``masked`` and ``mvc`` are
legitimate readouts.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ugrn.runtime.artifact.manifest import BackboneShape
from ugrn.runtime.errors import InputError

from ..model.base import NO_PREDICTION, BackboneCard, Loaded, Origin, Readout, VirtualCells
from ..model.checkpoint_files import (
    find_file,
    finite,
    positive,
    read_json,
    read_state,
    read_vocabulary_ids,
    width_and_heads,
)
from ..model.family import Family
from ..model.layers import PostNormLayer, leaky_mlp, stock_names
from ..model.streams import Layers, alike, predict_streams
from ..model.weights import Weights, checkpoint_metadata
from .scgpt.checkpoint import SPECIAL, strip_module
from .scgpt.model import MASK_VALUE, MOST
from .scgpt.parts import NOT_IN_LOSS

EMBEDDING = 256  # width of the gene embeddings, whatever the model's width
CARD = BackboneCard(
    name="scbenchmark",
    licence="not stated by the authors",
    units="ln(1 + counts) of a cell, without library-size normalisation; an expressed gene has at least ln 2",
    scale="ln-counts",
    baseline=math.log(3.0),
    vvp_levels=(math.log(2.0), 0.9, 1.4, 1.8, 2.2, 2.8, 3.4, 4.0),
    gdt_levels=(math.log(2.0), 0.9, math.log(3.0), 1.4, 1.8, 2.4, 3.0, 4.0),
    readouts={"masked": "", "mvc": "", "token": NOT_IN_LOSS.replace("scGPT", "scBenchmark"), "attn": NO_PREDICTION},
    trained=(math.log(2.0), math.inf),
)


@dataclass(frozen=True)
class ScBenchmarkOptions:
    """Choices that upstream leaves open.

    Attributes:
        cls_value: value of the ``<cls>`` token; None takes `cls_value` of ``args.json`` (0).
    """

    cls_value: float | None = None


class ScBenchmark(nn.Module):
    """The frozen model. V genes, width d; `genes` are the embeddings as the tokens see them."""

    def __init__(self, width: int, heads: int, layers: int, symbols: list[str]) -> None:
        super().__init__()
        self.symbols = symbols
        self.card = CARD
        self.shape = BackboneShape(width, heads, width, layers)
        self.genes = nn.Buffer(torch.zeros(len(symbols), width))
        self.cls = nn.Buffer(torch.zeros(width))
        self.value_encoder = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width))
        self.stack = nn.ModuleList(PostNormLayer(width, heads, width) for _ in range(layers))
        self.decoder = leaky_mlp(width, width)
        self.gene2query = leaky_mlp(width, width, out=width)

    @property
    def last_layer(self) -> nn.Module:
        return self.stack[-1]

    def gene_tokens(self, genes: Tensor) -> Tensor:
        return self.genes[genes]

    def predict(self, cells: VirtualCells, targets: Tensor, readout: Readout) -> Tensor:
        return predict_streams(self, cells, targets, readout)

    def layers(self, readout: Readout) -> Layers:
        return alike(self.stack)

    def embed(self, genes: Tensor, values: Tensor) -> Tensor:
        return cast(Tensor, self.genes[genes] + self.value_encoder(torch.clamp(values, max=MOST).unsqueeze(-1)))

    def embed_valueless(self, genes: Tensor, readout: Readout) -> Tensor:
        return self.embed(genes, torch.full_like(genes, MASK_VALUE, dtype=self.genes.dtype))

    def cls_token(self) -> Tensor:
        return self.cls

    def decode(self, tokens: Tensor, values: Tensor) -> Tensor:
        return cast(Tensor, self.decoder(tokens).squeeze(-1))

    def decode_cell(self, cell: Tensor, targets: Tensor) -> Tensor:
        return torch.matmul(cell, self.gene2query(self.genes[targets]).transpose(0, 1))


def load(folder: Path, options: ScBenchmarkOptions) -> Loaded:
    """Read a checkpoint folder; raises as `Family.load`."""
    args_path = find_file(folder, ["args.json"])
    args = read_json(args_path)
    structure = args.get("model_structure", "transformer")
    if structure not in ("transformer", "transformer_ours") or args.get("cell_emb_style", "cls") != "cls":
        message = (
            f"{args_path}: model_structure {structure!r}, cell_emb_style {args.get('cell_emb_style')!r}; expected the "
            "transformer variant with cell_emb_style 'cls'"
        )
        raise InputError(message)
    vocabulary_path = find_file(folder, ["vocab.json"])
    vocabulary = read_vocabulary_ids(vocabulary_path, SPECIAL)
    path = find_file(folder, ["best_model.pt", "best_model.safetensors", "model.safetensors"])
    weights = Weights(strip_module(read_state(path)), path, "scBenchmark")
    width, heads = width_and_heads(args, "embsize", "nheads", args_path)
    layers = positive(args, "nlayers", args_path)
    weights.check({"encoder.layers.0.linear1.weight": (width, width)})
    weights.check({f"encoder.layers.{layers - 1}.norm2.bias": (width,)})
    rows = [row for row, token in enumerate(vocabulary) if token not in SPECIAL]
    model = ScBenchmark(width, heads, layers, [vocabulary[row] for row in rows])
    cls_value = finite(args, "cls_value", args_path, 0.0) if options.cls_value is None else options.cls_value
    _fill(model, weights, vocabulary, rows, cls_value)
    metadata = checkpoint_metadata(
        "scbenchmark", asdict(options) | {"cls_value": cls_value}, (args_path, vocabulary_path, path), weights
    )
    return Loaded(model.eval(), Origin(provenance=metadata), embeddings=model.genes.numpy())


def _fill(model: ScBenchmark, weights: Weights, vocabulary: list[str], rows: list[int], cls_value: float) -> None:
    """Layers and heads, gene vectors as the tokens see them, and ``<cls>`` with its value."""
    width = model.shape.width
    weights.fill(model, {name: name for name in ("value_encoder", "decoder", "gene2query")})
    for index, layer in enumerate(model.stack):
        weights.fill(layer, stock_names(f"encoder.layers.{index}."))
    with torch.no_grad():
        table = weights.take("embedding.weight", (len(vocabulary), EMBEDDING))
        if width != EMBEDDING:
            trans = nn.Linear(EMBEDDING, width)
            weights.fill(trans, {"weight": "emb_trans.weight", "bias": "emb_trans.bias"})
            table = trans(table)
        model.genes.copy_(table[rows])
        model.cls.copy_(table[vocabulary.index("<cls>")] + model.value_encoder(torch.tensor([cls_value])))
    weights.ignore("layer_norm.*", "held by the checkpoint, not used in its forward pass")


FAMILY = Family(ScBenchmarkOptions, load)
