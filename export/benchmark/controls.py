"""Controls that know nothing of pairs, or know it from elsewhere: the scores a method must beat to be believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.feature_extraction.text import TfidfVectorizer

from ugrn.runtime.arrays import Array, Doubles, Ids
from ugrn.runtime.artifact.folder import Artifact
from ugrn.runtime.genes.names import GeneNames

from .datasets import DataSet, Network
from .features import known_ids


def random_weights(artifact: Artifact, folder: Path, seed: int) -> Artifact:
    """The same architecture with random weights: every matrix of the gradient graph is drawn anew, normal with its
    own mean and standard deviation, and every vector that has a number per gene is shuffled. Works for every
    backbone, without its checkpoint. The graph goes to `folder`.
    """
    genes = len(artifact.names)
    rng = np.random.default_rng(seed)
    model = onnx.load(artifact.folder / "gdt.onnx")
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            continue
        if values.shape == (genes,):
            tensor.CopyFrom(numpy_helper.from_array(rng.permutation(values), tensor.name))
        elif values.ndim >= 2:
            wide = values.astype(np.float32)
            drawn = wide.mean() + wide.std() * rng.standard_normal(values.shape, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(drawn.astype(values.dtype), tensor.name))
    onnx.save(model, folder / "gdt.onnx")
    return replace(artifact, folder=folder)


def symbol_ngrams(data: DataSet) -> Array:
    """Cosine ``[S, G]`` of the symbols' character n-grams (2 to 4): members of a gene family share them."""
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit_transform(data.upper)
    return np.asarray((grams[data.sources] @ grams.T).toarray(), np.float32)


def cosine(table: NDArray[np.floating], names: GeneNames, data: DataSet) -> Array:
    """Cosine ``[S, G]`` of embeddings ``[V, E]`` that are centred over the data set's genes; nan for unknown genes."""
    ids = known_ids(names, data)
    rows = table[np.maximum(ids, 0)].astype(np.float32)
    rows -= rows[ids >= 0].sum(0) / max((ids >= 0).sum(), 1)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    out = rows[data.sources] @ rows.T
    out[ids[data.sources] < 0] = np.nan
    out[:, ids < 0] = np.nan
    return np.asarray(out, np.float32)


def degree(network: Network, data: DataSet) -> Array:
    """Oracle degree ``[S, G]``: log(1 + edges of the source) + log(1 + edges into the target), of the very edges that
    are tested."""
    out, into = _log_degrees(network, data)
    return np.asarray(out[data.sources, None] + into, np.float32)


def training_degree(training: DataSet, network: Network, data: DataSet, names: GeneNames) -> Array:
    """The degrees of the training network, looked up gene by gene; zero for genes it lacks ``[S, G]``."""
    same = _same_gene(training, data, names)  # [G]
    out, into = np.where(same >= 0, _log_degrees(network, training)[:, np.maximum(same, 0)], 0.0)
    return np.asarray(out[data.sources, None] + into, np.float32)


def _log_degrees(network: Network, data: DataSet) -> Doubles:
    """log(1 + edges) of every gene as a source and as a target, ``[2, G]``."""
    return np.log1p([np.bincount(network.edges[:, side], minlength=len(data.genes)) for side in (0, 1)])


def unseen(training: DataSet, network: Network, data: DataSet, names: GeneNames) -> NDArray[np.bool_]:
    """Bool ``[G]``: genes that no edge of the training network has, by symbol in upper case nor by vocabulary id."""
    same = _same_gene(training, data, names)
    return ~((same >= 0) & np.isin(same, np.unique(network.edges)))


def _same_gene(training: DataSet, data: DataSet, names: GeneNames) -> Ids:
    """``[G]``: the place in the training data set of every gene of another, across species and aliases; -1 for none."""
    by_symbol = {symbol: place for place, symbol in enumerate(training.upper.tolist())}
    by_id = {gene: place for place, gene in enumerate(names.ids(list(training.genes)).tolist()) if gene >= 0}
    ids = names.ids(list(data.genes)).tolist()
    found = [by_symbol.get(symbol, by_id.get(gene, -1)) for symbol, gene in zip(data.upper.tolist(), ids, strict=True)]
    return np.array(found, np.int64)
