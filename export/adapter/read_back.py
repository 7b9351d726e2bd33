"""An artifact's backbone as a torch module again, where the value graph holds all that its readout needs.

That is the mini backbone read at ``mvc``. The exporter folds constants, so that not every weight keeps its name: some
matrices stand transposed before a MatMul, and the queries' and the values' biases are slices. The weights are therefore
not looked up by name: the graph's linear maps and norms are taken in the order in which the backbone's forward runs
them (`ugrn.export.model.streams`). Where the last layer attends for a few tokens (`attend_few`), its keys and values
are maps of each head; the bundled artifact's graph is older than that. What was read is then proven: the module and the
graph must give the same on random cells.
Not in the graph are the keys' bias, which changes nothing, and the token head: the module offers ``mvc`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.engine.session import GraphSession, RuntimeSettings
from ugrn.runtime.errors import InputError

from ..backbones.mini import CARD, FinishedGenes, MiniBackbone, MiniConfig
from ..backbones.mini_checkpoint import Checkpoint
from ..graph.graph import Probe, random_inputs

TOLERANCE = 1e-4
OF_THE_EXPORT = ("exported_with", "cautions", "notice")
Array = NDArray[Any]
State = dict[str, Array]


def read_back(artifact: Artifact) -> Checkpoint:
    """The checkpoint that an artifact of the mini backbone was exported from, as far as its graph holds it.

    Raises:
        InputError: the artifact is of another backbone or readout, or what was read does not compute what the graph
            does.
    """
    manifest = artifact.manifest
    if manifest.backbone != "mini" or manifest.readout != "mvc" or "adapter" in manifest.provenance:
        kind = (
            "an adapted one" if "adapter" in manifest.provenance else f"{manifest.backbone} read at {manifest.readout}"
        )
        message = (
            f"{artifact.folder}: is {kind}; weights can be read back from an artifact of the mini backbone with the "
            "readout mvc alone. Give the checkpoint folder it was exported from, with --family"
        )
        raise InputError(message)
    shape = manifest.shape
    config = MiniConfig(shape.width, shape.layers, shape.heads, shape.feedforward)
    symbols = artifact.names.symbols
    backbone = MiniBackbone(config, symbols, FinishedGenes(len(symbols), config.width))
    backbone.card = replace(CARD, readouts={"mvc": ""})
    try:
        found = _state(_Graph(onnx.load(artifact.folder / "vvp.onnx")), config)
        zeros = {name: np.zeros(each.shape, np.float32) for name, each in backbone.state_dict().items()}
        backbone.load_state_dict({name: torch.from_numpy(np.array(each)) for name, each in (zeros | found).items()})
    except (StopIteration, ValueError, LookupError, RuntimeError) as error:
        raise InputError(_give_the_checkpoint(artifact.folder, f"{type(error).__name__}: {error}")) from error
    backbone.eval()
    _prove(backbone, artifact)
    provenance = {name: each for name, each in manifest.provenance.items() if name not in OF_THE_EXPORT}
    metadata = {**provenance, "licence": manifest.licence, "readouts": ["mvc"]}
    context = [symbols[row] for row in artifact.context]
    return Checkpoint(backbone, artifact.names.aliases, context, metadata, artifact.embeddings)


def _give_the_checkpoint(folder: Path, why: str) -> str:
    return (
        f"{folder}: weights cannot be read back from its graph ({why}); give the checkpoint folder it was exported "
        "from, with --family"
    )


def _prove(backbone: MiniBackbone, artifact: Artifact) -> None:
    """Refuse a module that does not compute what the graph does, at several shapes and random cells."""
    manifest = artifact.manifest
    levels = (*manifest.vvp_levels, *manifest.gdt_levels, manifest.baseline)
    module = Probe(backbone, "mvc", manifest.baseline).module(tangent=False)
    session = GraphSession(artifact.folder / "vvp.onnx", RuntimeSettings("cpu"))
    random = np.random.default_rng(0)
    most = len(backbone.symbols) - 1
    for shape in ((3, 4, 0, 60), (2, 3, 6, 50), (1, 5, 24, 40)):
        sources, steps, context, targets = shape
        sizes = (sources, steps, min(context, most), min(targets, most))
        inputs = random_inputs(len(backbone.symbols), sizes, random, (min(levels), max(levels)))
        with torch.no_grad():
            mine = module(*(torch.from_numpy(each) for each in inputs))[0].numpy()
        theirs = session.run(*inputs)[0]
        deviation = float(np.abs(mine - theirs).max() / max(float(np.abs(theirs).max()), 1e-12))
        if not deviation <= TOLERANCE:
            why = f"what was read deviates from the graph by {deviation:.1e} of its largest value"
            raise InputError(_give_the_checkpoint(artifact.folder, why))


def _state(graph: _Graph, config: MiniConfig) -> State:
    """Parameters of a `MiniBackbone` by name."""
    state: State = {"genes.table": graph.table(), "cls": graph.token(config.width)}
    maps, norms, by_head = graph.linear_maps(), graph.norms(), graph.maps_by_head()
    for name in ("value1", "value2", "gate") * 2:  # of the source, then of the context
        _take(state, name, next(maps))
    for layer in range(config.layers):
        first = layer == 0  # which runs over the source alone, then over the tokens that all rows share
        parts: dict[str, tuple[Array, Array | None]] = {}
        at = f"stack.{layer}."
        if by_head and not first and layer + 1 == config.layers:
            keys, values = by_head
            parts = {"query": next(maps), "key": keys, "value": (values[0].swapaxes(1, 2), values[1])}
            parts |= {name: (parts[name][0].reshape(-1, config.width), parts[name][1]) for name in ("key", "value")}
        else:
            for name in ("query", "key", "value") * 2 if first else ("key", "value", "query"):
                parts[name] = next(maps)
        for name in ("out", "expand", "shrink") * (2 if first else 1):
            _take(state, at + name, next(maps))
        for name in ("norm1", "norm2") * (2 if first else 1):
            _take(state, at + name, next(norms))
        state[f"{at}qkv.weight"] = np.concatenate([parts[name][0] for name in ("query", "key", "value")])
        biases = {name: bias for name, (_, bias) in parts.items()}
        biases["key"] = np.zeros(config.width, np.float32)
        state[f"{at}qkv.bias"] = np.concatenate([_there(biases[name]) for name in ("query", "key", "value")])
    scale = np.float32(config.width**-0.5)
    state["cell_query.weight"] = next(maps)[0].T / scale
    state["cell_query.bias"] = next(maps)[0][0] / scale
    if next(maps, None) is not None or next(norms, None) is not None:
        message = "it has more linear maps or norms than the backbone"
        raise ValueError(message)
    return state | {name: graph.known[f"backbone.{name}"] for name in state if f"backbone.{name}" in graph.known}


def _take(state: State, name: str, found: tuple[Array, Array | None]) -> None:
    state[f"{name}.weight"] = found[0]
    if name != "gate":
        state[f"{name}.bias"] = _there(found[1])


def _there(bias: Array | None) -> Array:
    if bias is None:
        message = "a linear map has no bias"
        raise ValueError(message)
    return bias


class _Graph:
    """The constants of an ONNX graph, also those that are computed from constants, and what is done with them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.known: State = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        for node in self.nodes:
            if all(name in self.known for name in node.input if name):
                feeds = {name: self.known[name] for name in node.input if name}
                found = cast(list[Array], ReferenceEvaluator(node).run(None, feeds))
                self.known.update(zip(node.output, found, strict=True))

    def table(self) -> Array:
        """The gene table: the one matrix that rows are gathered from."""
        return next(
            self.known[node.input[0]]
            for node in self.nodes
            if node.op_type == "Gather" and self._is_matrix(node.input[0]) and node.input[1] not in self.known
        )

    def token(self, width: int) -> Array:
        """The one token ``[1, width]`` that is joined with others."""
        joined = (name for node in self.nodes if node.op_type == "Concat" for name in node.input)
        return next(
            self.known[name][0] for name in joined if name in self.known and self.known[name].shape == (1, width)
        )

    def linear_maps(self) -> Iterator[tuple[Array, Array | None]]:
        """Weights ``[out, in]`` and biases ``[out]`` of all linear maps, in order."""
        for node in self.nodes:
            if (
                node.op_type not in ("MatMul", "Gemm")
                or node.output[0] in self.known
                or not self._is_matrix(node.input[1])
            ):
                continue
            right = self.known[node.input[1]]
            if node.op_type == "MatMul":
                yield right.T, self._added(node.output[0])
            else:
                turned = any(each.name == "transB" and each.i for each in node.attribute)
                yield (right if turned else right.T), self.known[node.input[2]] if len(node.input) > 2 else None

    def norms(self) -> Iterator[tuple[Array, Array | None]]:
        """Weights and biases of all layer norms, in order."""
        for node in self.nodes:
            if node.op_type == "LayerNormalization":
                yield self.known[node.input[1]], self.known[node.input[2]]

    def maps_by_head(self) -> list[tuple[Array, Array | None]]:
        """Weights ``[H, in, out]`` and biases ``[H*out]`` of the maps of each head, in order."""
        maps = [node for node in self.nodes if node.op_type == "MatMul" and node.output[0] not in self.known]
        maps = [node for node in maps if self.known.get(node.input[1], np.empty(0)).ndim == 3]
        return [(self.known[node.input[1]], self._added(node.output[0])) for node in maps]

    def _is_matrix(self, name: str) -> bool:
        return name in self.known and self.known[name].ndim == 2

    def _added(self, name: str) -> Array | None:
        """The vector, whole or head by head, that is added to a value, if one is."""
        for node in self.nodes:
            if node.op_type == "Add" and name in node.input:
                for other in node.input:
                    if other in self.known and self.known[other].ndim in (1, 3):
                        return self.known[other].reshape(-1)
        return None
