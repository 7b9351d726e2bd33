"""Speed of ``ugrn``, next to what else would do the same: JSON and Markdown out.

    python -m bench.speed.throughput [--only limit sides throughput growth commands peers] [--quick] [--full]
                               [--json speed.json] [--markdown bench/SPEED.md] [--latency latency.json]

limit: operations of the graphs, the machine's matrix rate, the fraction reached. sides: reverse mode, torch.func.jvp,
our module in eager torch, the plain graph, ours. throughput, growth: seconds per source and memory by size, fitted
exponents. commands: whole ``ugrn`` processes. peers: GENIE3, GRNBoost2, RegDiffusion on the same genes. Sections that
were not asked for are kept from an older ``--json`` file of the same machine. ``--latency`` takes what
``pytest bench/speed/test_latency.py --benchmark-json latency.json`` wrote. Leave the machine alone while it runs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .commands import time_commands
from .growth import fit_growth, measure_throughput
from .limit import measure_limit
from .machine import metadata
from .peers import compare_peers
from .report import markdown
from .settings import Bench, Sizes
from .sides import compare_sides

SECTIONS = ("limit", "sides", "throughput", "growth", "commands", "peers")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION", help=str(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument("--full", action="store_true", help="also ugrn network, every gene x every gene")
    parser.add_argument("--repeats", type=int, help="timed rounds of limit and sides")
    parser.add_argument(
        "--provider", default="cpu", help="of throughput, growth, commands and peers: cpu, cuda or auto"
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with beeline/, for the peers")
    parser.add_argument("--folder", type=Path, help="keeps the random artifacts; empty it when export/ has changed")
    parser.add_argument("--latency", type=Path, help="JSON of pytest-benchmark, to be shown in the Markdown")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args(arguments)


def measure_sections(bench: Bench, only: tuple[str, ...]) -> dict[str, Any]:
    """Section -> rows; ``notes`` says what could not be measured."""
    found: dict[str, Any] = {}
    measures = {
        "limit": measure_limit,
        "sides": compare_sides,
        "throughput": measure_throughput,
        "growth": fit_growth,
        "commands": time_commands,
    }
    for name in only:
        if name == "peers":
            found[name], found["notes"] = compare_peers(bench)
        else:
            found[name] = measures[name](bench)
    return found


def latencies(path: Path) -> list[dict[str, Any]]:
    """Name, rounds and percentiles of pytest-benchmark's JSON; see ``test_latency.py``."""
    found = json.loads(path.read_text())["benchmarks"]
    return [{"name": each["name"], "rounds": each["stats"]["rounds"]} | each["extra_info"] for each in found]


def older(path: Path | None, machine: dict[str, str], quick: bool) -> dict[str, Any]:
    """Sections of an earlier run on the same machine with the same versions."""
    if path is None or not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found if found["machine"] == machine and found["quick"] == quick else {}


def main() -> None:
    options = parse()
    sizes = Sizes.tiny() if options.quick else Sizes()
    if options.repeats:
        sizes.repeats = options.repeats
    machine = metadata(options.provider)
    with tempfile.TemporaryDirectory() as name:
        folder = (options.folder or Path(name)) / ("tiny" if options.quick else "real")
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(
            folder, sizes, options.provider, options.data, options.full, lambda line: print(line, file=sys.stderr)
        )
        results = older(options.json, machine, options.quick) | measure_sections(bench, tuple(options.only))
    results |= {"machine": machine, "quick": options.quick, "date": time.strftime("%Y-%m-%d")}
    results["command"] = shlex.join(["python", "-m", "bench.speed.throughput", *sys.argv[1:]])
    if options.latency:
        results["latency"] = latencies(options.latency)
    page = markdown(results)
    print(page)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(page)


if __name__ == "__main__":
    main()
