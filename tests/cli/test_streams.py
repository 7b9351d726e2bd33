"""Standard input and output of ``ugrn score`` and ``ugrn network``: data there, all words on standard error."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from pathlib import Path

import networkx
import polars as pl
import pytest

from tests.helpers.commands import ugrn_bytes
from ugrn.runtime import load

UGRN = str(Path(sys.executable).with_name("ugrn"))
NETWORK = b"TF\ttarget\timportance\nGENE1\tGENE2\t3.5\nGENE3\tGENE3\t2\nGENE5\tNOSUCHGENE\t1\nGENE4\tGENE9\t0.5\n"


def ugrn(cwd: Path, *arguments: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return ugrn_bytes(*arguments, cwd=cwd, given=given)


@pytest.mark.parametrize("packed", [False, True])
def test_score_from_and_to_streams(artifact: Path, tmp_path: Path, packed: bool) -> None:
    given = gzip.compress(NETWORK) if packed else NETWORK
    done = ugrn(tmp_path, "score", "-", "--artifact", artifact, "-o", "-", given=given)
    assert done.returncode == 0
    found = pl.read_csv(io.BytesIO(done.stdout))
    expected = load(artifact).score([("GENE1", "GENE2"), ("GENE4", "GENE9")])
    assert found.columns == ["source", "target", "importance", *expected.columns[2:]]
    assert found["probability"].to_list() == pytest.approx(expected["probability"].to_list(), abs=1e-5)
    assert "2 of 4 pairs rejected (1 unknown target, 1 self-pair): the first of them:" in done.stderr.decode()
    assert "3,GENE5,NOSUCHGENE,unknown target" in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_formats_of_a_stream(artifact: Path, tmp_path: Path) -> None:
    def scored(name: str) -> bytes:
        done = ugrn(tmp_path, "score", "-", "--artifact", artifact, "-o", "-", "--format", name, given=NETWORK)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert scored("pyscenic").startswith(b"TF,target,importance\nGENE1,GENE2,0.")
    assert scored("tsv").startswith(b"source\ttarget\timportance\tprobability")
    assert set(networkx.read_graphml(io.BytesIO(scored("graphml"))).edges) == {("GENE1", "GENE2"), ("GENE4", "GENE9")}
    assert pl.read_parquet(io.BytesIO(scored("parquet"))).columns[:3] == ["source", "target", "importance"]
    done = ugrn(tmp_path, "score", "-", "--artifact", artifact, "-o", "-", "--format", "cytoscape", given=NETWORK)
    assert done.returncode == 2
    assert b"expected one of ugrn, decoupler, pyscenic" in done.stderr


def test_network_from_and_to_streams(artifact: Path, tmp_path: Path) -> None:
    arguments = ("network", "--sources", "-", "--artifact", artifact, "-o", "-", "--top-k", 3)
    done = ugrn(tmp_path, *map(str, arguments), given=b"GENE1\nNOSUCHGENE\n\nGENE2\n")
    assert done.returncode == 0
    assert pl.read_csv(io.BytesIO(done.stdout))["source"].to_list() == ["GENE1"] * 3 + ["GENE2"] * 3
    assert b"1 of 3 sources rejected (1 unknown gene): the first of them:" in done.stderr
    assert b"sources,2,NOSUCHGENE,unknown gene" in done.stderr
    assert list(tmp_path.iterdir()) == []
    both = ugrn(tmp_path, *map(str, arguments), "--targets", "-")
    assert both.returncode == 2
    assert b"can be read once" in both.stderr


def test_a_reader_that_leaves_early_ends_it_quietly(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("".join(f"GENE{a},GENE{b}\n" for a in range(60) for b in range(60) if a != b))
    command = f"'{UGRN}' score pairs.csv --features --artifact '{artifact}' -o - | head -n 2; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    header, first, status = done.stdout.splitlines()
    assert header.startswith("source,target,probability")
    assert first.startswith("GENE0,GENE1,")
    assert status == "0"
    assert "Broken" not in done.stderr
    assert "3540 pairs scored" in done.stderr


def test_streams_are_one_each(artifact: Path, tmp_path: Path) -> None:
    done = ugrn(tmp_path, "score", "-", "--artifact", artifact, "-o", "e.csv", given=b"")
    assert done.returncode == 2
    assert b"is empty" in done.stderr
    done = ugrn(tmp_path, "score", "-", "--artifact", artifact, "-o", "-", "--top", "3", given=NETWORK)
    assert done.returncode == 2
    assert b"--top" in done.stderr


def test_rank_says_what_it_did(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "grn.tsv").write_bytes(NETWORK)
    done = ugrn(tmp_path, "score", "grn.tsv", "--artifact", artifact, "-o", "e.tsv", "--rank")
    assert done.returncode == 0
    assert b"mean of the ranks by |importance| and by probability" in done.stderr
    assert pl.read_csv(tmp_path / "e.tsv", separator="\t").columns[-3:] == [
        "rank_importance",
        "rank_probability",
        "rank_merged",
    ]
    again = ugrn(
        tmp_path, "score", "e.tsv", "--artifact", artifact, "-o", "f.tsv", "--rank-by", "probability", "--top", 1
    )
    assert again.returncode == 0, again.stderr
    assert b"in the result probability is probability_ugrn" in again.stderr
    assert len(again.stdout.splitlines()) == 2


def test_a_quiet_stream_still_says_what_it_leaves_out(artifact: Path, tmp_path: Path) -> None:
    done = ugrn(tmp_path, "score", "-", "--artifact", artifact, "-o", "-", "--quiet", given=NETWORK)
    assert done.returncode == 0
    first, *rows = done.stderr.decode().splitlines()
    assert first.startswith("2 of 4 pairs rejected (1 unknown target, 1 self-pair)")
    assert len(rows) == 3


def test_a_reader_may_leave_early(artifact: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("".join(f"GENE{row % 60}X{row}\n" for row in range(60)) * 400)
    command = f"{sys.executable} -c 'from ugrn.cli.entry import run; run()' genes {names} --artifact {artifact} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_an_interrupt_before_the_start_is_no_traceback() -> None:
    code = (
        "import builtins, ugrn.cli.entry as e; real = builtins.__import__\n"
        "def fake(name, *a, **k):\n"
        "    if name == 'main': raise KeyboardInterrupt\n"
        "    return real(name, *a, **k)\n"
        "builtins.__import__ = fake; e.run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "ugrn: interrupted; nothing was changed\n"


def test_version(tmp_path: Path) -> None:
    done = ugrn(tmp_path, "--version")
    assert (done.returncode, done.stdout.split()[:1]) == (0, [b"ugrn"])
