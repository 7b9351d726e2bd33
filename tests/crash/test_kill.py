"""A run killed with SIGKILL at any moment and started again ends with the same bytes; alive, it is the only one."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = """
import sys, time
from pathlib import Path
import ugrn.runtime.runs.score as run
from ugrn.runtime import ScoreSettings, load
run.MOST_SOURCES = 2
slow = float(sys.argv[4])
load(sys.argv[1], provider="cpu", threads=1).score_file(
    sys.argv[2], Path(sys.argv[3]), ScoreSettings(features=True), lambda done, total: time.sleep(slow)
)
"""

NETWORK = """
import sys, time
from pathlib import Path
import ugrn.runtime.engine.probe as probe
from ugrn.runtime import NetworkSettings, load
probe.MOST_SOURCES = 2
slow = float(sys.argv[4])
load(sys.argv[1], provider="cpu", threads=2).network_file(
    sys.argv[2], None, Path(sys.argv[3]), NetworkSettings(5, "target"), lambda done, total: time.sleep(slow)
)
"""


def start(artifact: Path, pairs: Path, output: Path, slow: float, code: str = RUN) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, artifact, pairs, output, str(slow)])


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [f"GENE{a},GENE{b}\n" for a in range(60) for b in range(60) if a != b]
    random.Random(5).shuffle(rows)
    path = tmp_path / "pairs.csv"
    path.write_text("".join(rows) + "GENE1,NOPE\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".h5"])
def test_a_killed_run_ends_with_the_same_bytes(
    artifact: Path, pairs: Path, tmp_path: Path, suffix: str, seed: int
) -> None:
    whole = tmp_path / f"whole{suffix}"
    assert start(artifact, pairs, whole, 0).wait() == 0
    output = tmp_path / f"killed{suffix}"
    rng = random.Random(seed)
    kills = 0
    for _ in range(4):
        process = start(artifact, pairs, output, 0.03)
        folder = output.with_name(output.name + ".run")
        while process.poll() is None and not (folder / "part-00000.h5").exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert not output.exists() or output.read_bytes() == whole.read_bytes()
    assert kills >= 1
    assert start(artifact, pairs, output, 0).wait() == 0
    assert output.read_bytes() == whole.read_bytes()
    assert not output.with_name(output.name + ".run").exists()
    assert (tmp_path / f"killed{suffix}.rejects.csv").read_bytes() == (
        tmp_path / f"whole{suffix}.rejects.csv"
    ).read_bytes()
    assert [p.name for p in tmp_path.iterdir() if "tmp" in p.name] == []


@pytest.mark.slow
def test_a_run_resumes_instead_of_starting_anew(artifact: Path, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "e.csv"
    process = start(artifact, pairs, output, 0.2)
    folder = tmp_path / "e.csv.run"
    while not (folder / "part-00003.h5").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    first = (folder / "part-00000.h5").stat().st_mtime_ns
    again = start(artifact, pairs, output, 0.2)
    while not (folder / "part-00008.h5").exists():
        time.sleep(0.01)
    assert (folder / "part-00000.h5").stat().st_mtime_ns == first
    again.kill()
    again.wait()
    # Another pair list under the same output name starts anew.
    pairs.write_text("GENE1,GENE7\n")
    assert start(artifact, pairs, output, 0).wait() == 0
    assert len(output.read_text().splitlines()) == 2


@pytest.mark.slow
def test_a_killed_network_ends_with_the_same_bytes(artifact: Path, tmp_path: Path) -> None:
    genes = tmp_path / "genes.txt"
    genes.write_text("".join(f"GENE{row}\n" for row in range(0, 60, 2)))
    assert start(artifact, genes, tmp_path / "whole.parquet", 0, NETWORK).wait() == 0
    output = tmp_path / "killed.parquet"
    for shard in (0, 4, 9):
        process = start(artifact, genes, output, 0.05, NETWORK)
        while not (tmp_path / "killed.parquet.run" / f"part-{shard:05d}.h5").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not output.exists()
    assert start(artifact, genes, output, 0, NETWORK).wait() == 0
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert {path.name for path in tmp_path.glob("killed*")} == {"killed.parquet", "killed.parquet.json"}


@pytest.mark.slow
@pytest.mark.parametrize(("command", "code"), [("score", RUN), ("network", NETWORK)])
def test_a_second_run_to_the_same_output_stops(
    artifact: Path, pairs: Path, tmp_path: Path, command: str, code: str
) -> None:
    output, genes = tmp_path / "e.csv", tmp_path / "genes.txt"
    genes.write_text("".join(f"GENE{row}\n" for row in range(30)))
    listed = pairs if command == "score" else genes
    first = start(artifact, listed, output, 0.5, code)
    while not (tmp_path / "e.csv.run" / "part-00001.h5").exists():
        time.sleep(0.01)
    ugrn = [sys.executable, "-c", "from ugrn.cli.main import run; run()"]
    arguments = [command, *([listed] if command == "score" else ["--sources", listed]), "--artifact", artifact]
    second = subprocess.run([*ugrn, *arguments, "-o", output], capture_output=True, text=True, check=False)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert second.returncode == 2
    assert re.search(rf"e\.csv\.run: in use by another run to the same output, process {first.pid};", second.stderr)
    assert "Traceback" not in second.stderr
    assert not output.exists()
    assert start(artifact, listed, output, 0, code).wait() == 0
    assert json.loads((tmp_path / "e.csv.json").read_text())["resumed_blocks"] >= 2
    assert not (tmp_path / "e.csv.run").exists()
