"""Geneformer's dictionaries, which lie beside the weights: token ids, medians and gene names."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ugrn.runtime.errors import InputError

from ...model.checkpoint_files import read_json

SPECIAL = ("<pad>", "<mask>", "<cls>", "<eos>")


def genes_in_order(
    tokens: Mapping[str, Any], medians: Mapping[str, Any], tokens_path: Path, medians_path: Path
) -> tuple[list[str], list[int]]:
    """Genes in the order of their token ids, and these ids.

    Raises:
        InputError: ids are missing or repeated, or a gene has no median.
    """
    ids = list(tokens.values())
    whole = all(isinstance(each, int) for each in ids) and sorted(ids) == list(range(len(ids)))
    if not whole or not {"<pad>", "<mask>"} <= set(tokens):
        message = f"{tokens_path}: expected <pad>, <mask> and genes with token ids 0 to {len(ids) - 1}, each once"
        raise InputError(message)
    genes = sorted((name for name in tokens if name not in SPECIAL), key=lambda name: int(tokens[name]))
    without = [gene for gene in genes if not _is_positive(medians.get(gene))]
    if without:
        message = f"{medians_path}: {len(without)} genes of the token dictionary have no positive median: {without[:8]}"
        raise InputError(message)
    return genes, [tokens[gene] for gene in genes]


def aliases_of(folder: Path, symbols: Iterable[str], allow_pickle: bool) -> dict[str, str]:
    """Gene symbols to the Ensembl ids Geneformer knows, where the folder has the dictionary."""
    if not any(folder.glob("gene_name_id_dict*")):
        return {}
    names, _ = read_dictionary(folder, "gene_name_id_dict", allow_pickle)
    known = set(symbols)
    return {name: str(gene) for name, gene in names.items() if str(gene) in known}


def read_dictionary(folder: Path, name: str, allow_pickle: bool) -> tuple[dict[str, Any], Path]:
    """A dictionary of the folder and its path, as JSON, or as pickle where that is allowed.

    Raises:
        InputError: there is none, or more than one, or it cannot be read.
    """
    found = sorted(folder.glob(f"{name}*.json")) or sorted(folder.glob(f"{name}*.pkl"))
    if len(found) > 1:
        message = f"{folder}: {len(found)} files {name}*: {[path.name for path in found]}; keep the checkpoint's own"
        raise InputError(message)
    if not found:
        message = f"{folder}: no {name}*.json in it; copy Geneformer's dictionaries into the checkpoint folder"
        raise InputError(message)
    [path] = found
    if path.suffix == ".json":
        return read_json(path), path
    if not allow_pickle:
        message = (
            f"{path}: is a pickle, which can run code when it is read. Convert it once where you trust it: "
            f"python -c \"import json, pickle; json.dump(pickle.load(open('{path.name}', 'rb')), "
            f"open('{path.stem}.json', 'w'))\", or pass --set allow-pickle=true"
        )
        raise InputError(message)
    return _read_pickle(path), path


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            loaded = _PlainUnpickler(file).load()
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises anything
        message = f"{path}: cannot be read as a pickled dictionary of plain data ({error})"
        raise InputError(message) from error
    if not isinstance(loaded, dict):
        message = f"{path}: cannot be read as a pickled dictionary of plain data (it holds a {type(loaded).__name__})"
        raise InputError(message)
    return {str(key): value.item() if isinstance(value, np.generic) else value for key, value in loaded.items()}


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value) and value > 0


class _PlainUnpickler(pickle.Unpickler):
    """Knows nothing but plain data and NumPy numbers."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.removesuffix(".multiarray"), name) in {
            ("numpy._core", "scalar"),
            ("numpy.core", "scalar"),
            ("numpy", "dtype"),
            ("collections", "OrderedDict"),
        }:
            return super().find_class(module, name)
        message = f"it holds {module}.{name}, which is no plain data"
        raise pickle.UnpicklingError(message)
