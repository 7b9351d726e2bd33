"""The limit: a graph's floating-point operations, the machine's matrix rate in the same rounds, what is reached."""

from __future__ import annotations

from typing import Any

from ugrn.runtime.engine.session import processors
from ugrn.runtime.translator.translator import PROBES

from .flops import count
from .machine import matrix_calls, on_threads
from .settings import MODELS, Bench, Rows, runtime_feeds
from .timing import interleaved

GRAPHS = {"vvp": ("vvp",), "gdt": PROBES}
MOST_SOURCES = 64  # offered to the runtime, which takes what its memory budget allows


def measure_limit(bench: Bench) -> Rows:
    """One row per model, graph and number of threads, shapes as the runtime feeds them.

    The workers of `ugrn network` run a graph on one thread each; `ugrn score` runs it on all of them.
    """
    rows = []
    for model in MODELS:
        for graph in GRAPHS:
            for threads in (1, 0):
                with on_threads(threads):
                    rows.append(_graph(bench, model, graph, threads))
    return rows


def _graph(bench: Bench, model: str, graph: str, threads: int) -> dict[str, Any]:
    bench.notify(f"limit: {model} {graph}, {threads or 'all'} threads")
    prober = bench.prober(model, GRAPHS[graph], threads)
    width, of_graphs = runtime_feeds(prober, MOST_SOURCES, bench.sizes.targets)
    feeds, session = of_graphs[f"{graph}.onnx"], prober.sessions[f"{graph}.onnx"]
    counted = count(prober.artifact.folder / f"{graph}.onnx", feeds)
    shapes = _shapes(bench, model, feeds[0][3].size)
    products = {
        f"{backend} {m} x {k} x {n}": (call, 2 * m * k * n)
        for m, k, n in shapes
        for backend, call in matrix_calls(m, k, n, threads).items()
    }
    calls: dict[str, Any] = {"graph": lambda: [session.run(*feed) for feed in feeds]}
    calls |= {name: call for name, (call, _) in products.items()}
    seconds = interleaved(calls, bench.sizes.repeats)
    rates = {name: operations / seconds[name] / 1e9 for name, (_, operations) in products.items()}
    best = max(rates, key=lambda name: rates[name])
    reached = counted.operations / seconds["graph"] / 1e9
    return {
        "model": model,
        "graph": graph,
        "threads": threads or processors(),
        "sources": width,
        "levels": sum(feed[3].shape[1] for feed in feeds[: _passes(feeds)]),
        "passes": len(feeds),
        "context": bench.sizes.context[model],
        "targets": bench.sizes.targets,
        "gflop": counted.operations / 1e9,
        "seconds": seconds["graph"],
        "gflops": reached,
        "matrix": best,
        "matrix_gflops": rates[best],
        "matrices": rates,
        "fraction": reached / rates[best],
        "shares": counted.shares,
    }


def _passes(feeds: list[Any]) -> int:
    """Number of the feeds that ask for the first feed's targets: those that share out its levels."""
    return sum(feed[4][0] == feeds[0][4][0] for feed in feeds)


def _shapes(bench: Bench, model: str, rows: int) -> list[tuple[int, int, int]]:
    """m, k, n of the large square, and of the products of the graph's layers."""
    size, shape = bench.sizes, bench.backbone(model).shape
    tokens = rows * (size.context[model] + 2)
    own = [(tokens, shape.width, shape.width), (tokens, shape.width, shape.feedforward)]
    return list(dict.fromkeys([(size.square,) * 3, *own]))
