"""A backbone of one's own: four names and no more, held by the type checker and, for the adapter, at run time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from ugrn.export.backbones.mini import CARD, MiniBackbone
from ugrn.export.model.adaptable import PARTS, adaptable, adapter_widths
from ugrn.runtime.artifact.manifest import BackboneShape
from ugrn.runtime.errors import InputError

ROOT = Path(__file__).parents[3]
NAMES = ("symbols", "card", "shape", "predict")
PAGE = (ROOT / "docs" / "bring-your-own-checkpoint.md").read_text()
FULL = {
    "symbols": "symbols: list[str]",
    "card": "card: BackboneCard",
    "shape": "shape: BackboneShape",
    "predict": "def predict(self, cells: VirtualCells, targets: Tensor, readout: str) -> Tensor: return cells.levels",
}
SMALL = """
from pathlib import Path

from torch import Tensor

from ugrn.export.bundle.artifact import ExportSettings, write_artifact
from ugrn.export.model.base import BackboneCard, Origin, VirtualCells
from ugrn.runtime.artifact.manifest import BackboneShape


class Model:
    {body}


def export(model: Model) -> None:
    write_artifact(model, Path("out"), ExportSettings(), Origin())
"""


@pytest.mark.slow
def test_four_names_pass_the_type_checker_and_three_do_not(tmp_path: Path) -> None:
    page = next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "class MyModel" in code)
    (tmp_path / "of_the_page.py").write_text(page)
    (tmp_path / "four.py").write_text(SMALL.format(body="\n    ".join(FULL.values())))
    for name in NAMES:
        lacking = [line for each, line in FULL.items() if each != name]
        (tmp_path / f"without_{name}.py").write_text(SMALL.format(body="\n    ".join(lacking)))
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--no-error-summary"]
    done = subprocess.run(
        [*command, *map(str, sorted(tmp_path.glob("*.py")))], capture_output=True, text=True, cwd=ROOT
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    found = {Path(line.split(":")[0]).stem for line in errors}
    assert found == {f"without_{name}" for name in NAMES}, done.stdout + done.stderr
    assert all('has incompatible type "Model"; expected "Backbone"' in line for line in errors), done.stdout
    for name in NAMES:
        assert re.search(rf"without_{name}.py.*\n(.*note.*\n)*?.*note:     {name}\n", done.stdout), done.stdout


class Plain(nn.Module):
    """A backbone of one's own, with the four names."""

    card = CARD
    shape = BackboneShape(4, 1, 4, 1)

    def __init__(self) -> None:
        super().__init__()
        self.symbols = ["A", "B"]

    def predict(self, cells: Any, targets: Tensor, readout: str) -> Tensor:
        return torch.zeros(cells.count, len(targets))


def test_what_an_adapter_needs_more_is_asked_for_at_run_time(backbone: MiniBackbone) -> None:
    assert adaptable(backbone) is backbone
    assert adapter_widths(adaptable(backbone)) == (16, 16)
    plain = Plain()
    with pytest.raises(InputError, match="mini cannot be adapted: it has no last_layer, gene_tokens, which"):
        adaptable(plain)
    cast(Any, plain).gene_tokens = backbone.gene_tokens
    with pytest.raises(InputError, match="it has no last_layer, which"):
        adaptable(plain)
    plain.last_layer = nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"it has no last_layer.after, last_layer.shrink, which"):
        adaptable(plain)
    plain.last_layer = backbone.last_layer
    assert all(hasattr(adaptable(plain), name) for name in PARTS)
