"""Colours of figures, and how they become files.

Figures are drawn without pyplot, so that no state is left behind. Colours are those of Okabe and Ito (2008), which
colour-blind readers tell apart; marker or dash always says the same. Sizes are for a page about 830 pixels wide.
"""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from ugrn.runtime.files.atomic import replace_with

BLUE, ORANGE, GREEN, PURPLE, GREY, PALE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666", "#CCCCCC"
DPI = 150


def png(figure: Figure) -> bytes:
    """A figure as PNG, `DPI` dots per inch."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=DPI, metadata={"Software": None})
    return held.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, `DPI` dots per inch."""
    replace_with(path, lambda part: part.write_bytes(png(figure)))
