"""Documents of one HTML file: style, scripts and data lie inside, nothing is loaded, and no other script may run.

A document is a template of the folder ``page`` with its places filled.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

from markdown_it import MarkdownIt

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def document(template: str, styles: Sequence[str], scripts: Sequence[str], data: Any, **places: str) -> str:
    """A document.

    Args:
        template: name of a file, with the places policy, style, data and scripts among others.
        styles: names of style sheets.
        scripts: JavaScript, one element to each.
        data: JSON that the scripts read from the element ``data``.
        places: HTML for all other places of the template.
    """
    safe = [script.replace("</script", r"<\/script") for script in scripts]
    return Template(page_text(template)).substitute(
        policy=f"{POLICY}; script-src {' '.join(map(_hash, safe))}",
        style=page_text(*styles),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        scripts="\n".join(f"<script>{script}</script>" for script in safe),
        **places,
    )


def page_text(*names: str) -> str:
    """The text of files of the folder ``page``, one after the other."""
    folder = files(__package__) / "page"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def markdown_parser() -> MarkdownIt:
    """A parser of Markdown with tables; HTML in it is shown as text, and images are none."""
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _hash(script: str) -> str:
    """A script as a policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"
