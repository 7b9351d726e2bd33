"""Morgan fingerprints of drugs: which neighbourhoods of atoms a molecule has.

Rogers and Hahn 2010, J. Chem. Inf. Model. 50, 742, doi:10.1021/ci100050t. Radius 2 (ECFP4), folded to `BITS` bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ugrn.runtime.errors import InputError

BITS = 1024
RADIUS = 2


def fingerprints(smiles: Mapping[str, str]) -> NDArray[np.float32]:
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
