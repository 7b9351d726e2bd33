"""The three data sets of drug response in cell lines, over the same expression.

Drugs are seen by their Morgan fingerprints: which neighbourhoods of atoms a molecule has (Rogers and Hahn 2010, J.
Chem. Inf. Model. 50, 742, doi:10.1021/ci100050t). Radius 2 (ECFP4), folded to `BITS` bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ugrn.runtime.arrays import Array
from ugrn.runtime.errors import InputError

from .data import DrugResponse
from .files import read_table, require

EXPRESSION = "ccle_expression_706.parquet"
LINES, DRUGS = "cell_lines.tsv", "gdsc_drug_list.csv"
BY_NAME, BY_CID = "drug_smiles.tsv", "gdsc_223_pubchem_smiles.tsv"
TGSA, DEEPCDR, CADRRES = "gdsc_ln_ic50_tgsa.parquet", "gdsc_ln_ic50_deepcdr.parquet", "ccle_log_ic50_cadrres.parquet"
BITS = 1024
RADIUS = 2
STEP = 4  # of the lines that --quick takes


@dataclass(frozen=True)
class Background:
    """Tables that the data sets share.

    Attributes:
        lines: cell lines, by DepMap id.
        genes: G genes.
        expression: ``[N, G]``.
        annotation: depmap_id, CCLE_ID, Site_Primary of more lines than these.
        drugs: GDSC's list: drug_id, Name, Synonyms, PubCHEM.
        by_name, by_cid: SMILES by the drug's name, and by its PubChem id.
        step: one of so many lines was taken.
    """

    lines: list[str]
    genes: list[str]
    expression: Array
    annotation: pl.DataFrame
    drugs: pl.DataFrame
    by_name: Mapping[str, str]
    by_cid: Mapping[str, str]
    step: int


def read_drug_responses(folder: Path, quick: bool) -> list[DrugResponse]:
    """GDSC as TGSA and as DeepCDR have it, and CCLE as CaDRReS has it; of the first every fourth line if `quick`.

    Raises:
        InputError: files are missing or cannot be read, or rdkit is not installed.
    """
    shared, tgsa, deepcdr, cadrres = _read(folder, STEP if quick else 1)
    first = read_tgsa(tgsa, shared)
    return [first] if quick else [first, read_deepcdr(deepcdr, shared), read_cadrres(cadrres, shared)]


def read_tgsa(path: Path, shared: Background) -> DrugResponse:
    """GDSC as TGSA has it: every drug has a structure, and every line expression."""
    pairs = read_table(path, ("depmap_id", "drug", "ln_ic50")).rename({"depmap_id": "line", "ln_ic50": "response"})
    return _assembled("gdsc_tgsa", pairs, shared.by_name, shared)


def read_deepcdr(path: Path, shared: Background) -> DrugResponse:
    """GDSC as DeepCDR has it. Drugs that GDSC tested twice, under two ids, are one drug by their PubChem id."""
    number = pl.col("PubCHEM").str.extract(r"^(\d+)$")  # else it is empty, "none" or "several"
    listed = shared.drugs.select(id="drug_id", cid=number, name=pl.format("{} ({})", "Name", "drug_id"))
    named = shared.drugs.select("Name", cid=number).drop_nulls("cid").unique("cid", keep="first", maintain_order=True)
    listed = listed.join(named, on="cid", how="left", maintain_order="left")
    table = read_table(path, ("gdsc_drug_id", "depmap_id", "ln_ic50"))
    table = table.with_columns(id=pl.col("gdsc_drug_id").str.extract(r"(\d+)$"))
    pairs = table.join(listed, on="id", how="left", maintain_order="left")
    drug = pl.coalesce("Name", "name", "gdsc_drug_id")
    pairs = pairs.select(line="depmap_id", drug=drug, response="ln_ic50")
    smiles = {drug: shared.by_cid[cid] for drug, cid in named.rows() if cid in shared.by_cid}
    return _assembled("gdsc_deepcdr", pairs, smiles, shared)


def read_cadrres(path: Path, shared: Background) -> DrugResponse:
    """CCLE as CaDRReS has it, in binary logarithms: drugs are found in GDSC's tables by their names and synonyms."""
    table = read_table(path, ("ccle_id", "drug", "log_ic50"))
    ids = shared.annotation.select("CCLE_ID", line="depmap_id")
    pairs = table.join(ids, left_on="ccle_id", right_on="CCLE_ID", how="left", maintain_order="left")
    pairs = pairs.select(pl.col("line").fill_null(pl.col("ccle_id")), "drug", response=pl.col("log_ic50") * math.log(2))
    known = _by_any_name(shared)
    smiles = {drug: known[_folded(drug)] for drug in set(pairs["drug"]) if _folded(drug) in known}
    return _assembled("ccle_cadrres", pairs, smiles, shared)


def _by_any_name(shared: Background) -> dict[str, str]:
    """SMILES by folded names, of GDSC's names and synonyms too."""
    found = {_folded(name): smiles for name, smiles in shared.by_name.items()}
    for name, synonyms, cid in shared.drugs.select("Name", "Synonyms", "PubCHEM").rows():
        names = [folded for each in (name, *synonyms.split(",")) if (folded := _folded(each))]
        smiles = next((found[each] for each in names if each in found), shared.by_cid.get(cid))
        if smiles is not None:
            found = {**dict.fromkeys(names, smiles), **found}
    return found


def _folded(name: str) -> str:
    """A name without what people write in different ways."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _assembled(name: str, pairs: pl.DataFrame, smiles: Mapping[str, str], shared: Background) -> DrugResponse:
    """Responses of lines with expression to drugs with a structure; what is left out is counted.

    Args:
        name: of the data set.
        pairs: columns line, drug and response; the mean is taken of a pair that is there more than once.
        smiles: by the drug's name.
        shared: see `Background`.
    """
    kept = pairs.filter(pl.col("line").is_in(shared.lines), pl.col("drug").is_in(list(smiles)))
    kept = kept.group_by("line", "drug").agg(pl.col("response").mean(), times=pl.len()).sort("line", "drug")
    lines, drugs = (kept[key].unique().sort().to_list() for key in ("line", "drug"))
    line, drug = (kept[key].rank("dense").to_numpy().astype(np.int64) - 1 for key in ("line", "drug"))
    place = {line: row for row, line in enumerate(shared.lines)}
    tissues = dict(shared.annotation.select("depmap_id", "Site_Primary").rows())
    return DrugResponse(
        name,
        lines,
        shared.genes,
        shared.expression[[place[each] for each in lines]],
        [tissues.get(each, "") for each in lines],
        drugs,
        fingerprints({each: smiles[each] for each in drugs}),
        line,
        drug,
        kept["response"].to_numpy().astype(np.float32),
        _cautions(pairs, kept, smiles, shared),
    )


def _cautions(
    pairs: pl.DataFrame, kept: pl.DataFrame, smiles: Mapping[str, str], shared: Background
) -> tuple[str, ...]:
    """Cautions about what was left out, and put together."""
    found = ["Expression is of 706 cancer genes, and z-scored over all 580 lines, those held out among them."]
    drugs, lines = sorted(set(pairs["drug"])), set(pairs["line"])
    if without := [each for each in drugs if each not in smiles]:
        found.append(f"{len(without)} of {len(drugs)} drugs have no structure and are left out: {', '.join(without)}.")
    if unknown := len(lines - set(shared.lines)):
        why = "have no expression" if shared.step == 1 else f"have no expression, or are not every {shared.step}th"
        found.append(f"{unknown} of {len(lines)} cell lines {why}, and are left out.")
    if twice := int((kept["times"] > 1).sum()):
        found.append(f"{twice:,} of {len(kept):,} responses are the mean of several.")
    return tuple(found)


def fingerprints(smiles: Mapping[str, str]) -> Array:
    """Fingerprints ``[D, 1024]``, 0 or 1, of molecules written as SMILES, by the drug's name.

    Raises:
        InputError: rdkit is not installed, or a text is no molecule; all of these are named.
    """
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import rdFingerprintGenerator
    except ImportError as error:
        message = "reading the structures of drugs needs rdkit, which is not installed; run: pip install rdkit"
        raise InputError(message) from error
    with rdBase.BlockLogs():  # it would write to standard error what is said below
        molecules = {name: Chem.MolFromSmiles(text) for name, text in smiles.items()}
    wrong = [f"{name} ({smiles[name]!r})" for name, molecule in molecules.items() if molecule is None]
    if wrong:
        message = f"{len(wrong)} of {len(smiles)} drugs have no readable structure: {', '.join(wrong)}; expected SMILES"
        raise InputError(message)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    bits = [generator.GetFingerprintAsNumPy(molecule) for molecule in molecules.values()]
    return np.array(bits, np.float32).reshape(len(bits), BITS)


def _read(folder: Path, step: int) -> tuple[Background, Path, Path, Path]:
    """Tables that the data sets share, and the paths of their responses."""
    names = (EXPRESSION, LINES, DRUGS, BY_NAME, BY_CID, TGSA, DEEPCDR, CADRRES)
    expression, lines, drugs, by_name, by_cid, *responses = require(folder, names)
    table = read_table(expression, ("depmap_id",), others=True).gather_every(step)
    genes = table.columns[1:]
    shared = Background(
        table["depmap_id"].to_list(),
        genes,
        table.select(genes).to_numpy().astype(np.float32),
        read_table(lines, ("depmap_id", "CCLE_ID", "Site_Primary")),
        read_table(drugs, ("drug_id", "Name", "Synonyms", "PubCHEM")),
        dict(read_table(by_name, ("drug", "smiles")).rows()),
        dict(read_table(by_cid, ("pubchem_cid", "smiles")).rows()),
        step,
    )
    tgsa, deepcdr, cadrres = responses
    return shared, tgsa, deepcdr, cadrres
