"""Pages in headless Chromium, each watched: no message on the console, no request but the page itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ugrn.runtime import NetworkSettings, load
from ugrn.web.report import ReportSettings, write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SOURCES = ["GATA1", "TAL1", "KLF1", "SPI1", "CEBPA", "POU5F1", "SOX2", "NANOG", "MYC", "TP53"]
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("neither chromium nor google-chrome is installed")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; options are those of a browser context."""
    contexts, troubles = [], []

    def open_page(path: Path, **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: troubles.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: troubles.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [trouble for trouble in troubles if not trouble.startswith(("data:", "blob:"))] == []


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame]:
    """A page of 10 sources and 60 targets, with curves for every edge, and its edges as the page orders them."""
    folder = tmp_path_factory.mktemp("small")
    result = folder / "net.parquet"
    scorer = load()
    others = [name for name in scorer.artifact.names.symbols[::380] if name not in SOURCES][:50]
    scorer.network_file(SOURCES, [*SOURCES, *others], result, NetworkSettings())
    write_report(result, folder / "r.html", scorer, ReportSettings(network_edges=80))
    return folder / "r.html", pl.read_parquet(result).sort("probability", descending=True, maintain_order=True)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame]:
    """A page of 50,000 edges between 100 sources and 600 targets, of which the artifact knows none."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(5)
    chosen = rng.permutation(60_000)[:50_000]
    edges = pl.DataFrame(
        {
            "source": [f"TF{each // 600:03}" for each in chosen],
            "target": [f"T{each % 600:03}" for each in chosen],
            "probability": rng.beta(1, 6, len(chosen)).astype(np.float32),
            "logit_vvp": rng.normal(size=len(chosen)).astype(np.float32),
        }
    )
    edges.write_csv(folder / "all.csv")
    write_report(folder / "all.csv", folder / "r.html", load())
    return folder / "r.html", edges.sort("probability", descending=True, maintain_order=True)
