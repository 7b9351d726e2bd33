"""Artifacts of a model hub, fetched by the real client from a small local server that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ugrn.runtime import ArtifactError, MissingExtraError, find_artifact
from ugrn.runtime.artifact.hub import parse_hub

REPOSITORY, COMMIT = "lab/my-scgpt", "0123456789abcdef0123456789abcdef01234567"
NAME = f"{REPOSITORY}@{COMMIT}"

SCORE = """
import sys
from ugrn.runtime import UgrnError, load
try:
    scorer = load(sys.argv[1], threads=1)
    print(scorer.artifact.folder, scorer.score([("GENE1", "GENE2")])["probability"][0])
except UgrnError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class Hub(BaseHTTPRequestHandler):
    """One repository, whose branch ``main`` is `COMMIT`: listing, revision, and files."""

    def __init__(self, files: Path, asked: list[str], *arguments: object) -> None:
        self.files, self.asked = files, asked
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        api, at_commit = f"/api/models/{REPOSITORY}", f"/{REPOSITORY}/resolve/{COMMIT}/"
        if path == f"{api}/tree/{COMMIT}":
            listed = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _etag(file)}
                for file in sorted(self.files.iterdir())
            ]
            self._send(json.dumps(listed).encode(), {"Content-Type": "application/json"})
        elif path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            siblings = [{"rfilename": file.name} for file in self.files.iterdir()]
            self._send(json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode(), {})
        elif path.startswith(at_commit) and (file := self.files / path.removeprefix(at_commit)).is_file():
            self._send(file.read_bytes(), {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": COMMIT})
        else:
            self._send(b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}, 404)

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


@pytest.fixture
def published(artifact: Path, tmp_path: Path) -> Path:
    """What the repository holds: the artifact as exported, and a file that nobody asked for."""
    folder = Path(shutil.copytree(artifact, tmp_path / "published"))
    (folder / "run_me.py").write_text("raise SystemExit('executed')")
    return folder


@pytest.fixture
def asked() -> list[str]:
    """Paths that were asked for, in order."""
    return []


@pytest.fixture
def score(
    published: Path, asked: list[str], tmp_path: Path
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Scores a pair with a reference in a fresh process, whose hub is the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, published, asked))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    places = {"UGRN_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}
    hub = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def run(reference: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | places | hub | environment
        command = [sys.executable, "-c", SCORE, reference]
        return subprocess.run(command, capture_output=True, text=True, env=env, check=False)

    yield run
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_pinned_artifact_is_fetched_once_and_verified(
    score: Callable[..., subprocess.CompletedProcess[str]], asked: list[str], artifact: Path, tmp_path: Path
) -> None:
    first = score(f"hf://{NAME}")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "home" / "hub" / REPOSITORY / COMMIT
    here = subprocess.run(
        [sys.executable, "-c", SCORE, artifact], capture_output=True, text=True, env=os.environ, check=True
    )
    assert first.stdout.split() == [str(folder), here.stdout.split()[1]]
    assert [path.name for path in folder.parent.iterdir()] == [COMMIT]
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in artifact.iterdir() if path.name != "README.md"
    )
    assert any(path.endswith("/gdt.onnx") for path in asked)
    asked.clear()
    again = score(NAME)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    for name in ("UGRN_OFFLINE", "HF_HUB_OFFLINE"):
        assert score(NAME, **{name: "1"}).stdout == first.stdout
    assert asked == []


def test_the_manifest_can_be_pinned(score: Callable[..., subprocess.CompletedProcess[str]], published: Path) -> None:
    digest = hashlib.sha256((published / "artifact.json").read_bytes()).hexdigest()
    assert score(f"hf://{NAME}#sha256={digest}").returncode == 0
    other = score(f"hf://{NAME}#sha256={'0' * 64}")
    assert other.returncode == 1
    assert digest in other.stderr


def test_what_is_damaged_on_the_way_is_refused_and_not_kept(
    score: Callable[..., subprocess.CompletedProcess[str]], published: Path, tmp_path: Path
) -> None:
    genes = (published / "genes.txt").read_bytes()
    (published / "genes.txt").write_bytes(genes.replace(b"GENE1\n", b"GENE!\n"))
    done = score(NAME)
    assert done.returncode == 1
    assert "ArtifactError" in done.stderr
    assert "genes.txt: found" in done.stderr
    assert [*(tmp_path / "home" / "hub" / REPOSITORY).iterdir()] == []
    (published / "genes.txt").write_bytes(genes)
    assert score(NAME).returncode == 0


def test_revisions_that_move_are_refused_and_the_commit_is_named(
    score: Callable[..., subprocess.CompletedProcess[str]], asked: list[str]
) -> None:
    for reference in (f"hf://{REPOSITORY}", f"{REPOSITORY}@main"):
        done = score(reference)
        assert done.returncode == 1
        assert f"now that is {NAME}" in done.stderr
        assert "full commit hash" in score(reference, UGRN_OFFLINE="yes").stderr
    assert not any("resolve" in path for path in asked)


@pytest.mark.slow  # the client waits before it asks again
def test_repositories_that_are_not_there_and_hubs_that_do_not_answer(
    score: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    for reference, environment in (
        (f"lab/other@{COMMIT}", {}),
        (NAME, {"HF_ENDPOINT": "http://127.0.0.1:9"}),
    ):
        done = score(reference, **environment)
        assert done.returncode == 1
        assert "cannot be fetched" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["UGRN_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_says_how_to_get_it(
    score: Callable[..., subprocess.CompletedProcess[str]], asked: list[str], name: str
) -> None:
    done = score(NAME, **{name: "1"})
    assert done.returncode == 1
    assert re.search(rf"{name} forbids the network.*ugrn artifacts path {NAME}.*copy", done.stderr)
    assert asked == []
    assert score(NAME, **{name: "0"}).returncode == 0


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UGRN_HOME", str(tmp_path))
    monkeypatch.delenv("UGRN_OFFLINE", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"ugrn\[hub\]"):
        find_artifact(NAME)
    with pytest.raises(ArtifactError, match="full commit hash"):
        find_artifact(f"{REPOSITORY}@main")


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        (f"hf://{NAME}", REPOSITORY, COMMIT),
        (NAME, REPOSITORY, COMMIT),
        ("hf://a/b", "a/b", ""),
        ("a/b@v1.0", "a/b", "v1.0"),
    ],
)
def test_references(text: str, repository: str, revision: str) -> None:
    found = parse_hub(text)
    assert found is not None
    assert (found.repository, found.revision) == (repository, revision)


@pytest.mark.parametrize(
    "text", ["a/b", "mini", "a@b", "../b@c", "a/..@c", "../a/b@c", "/a/b@c", "a/b/c@d", "https://a/b@c", "a/b@"]
)
def test_texts_that_are_no_references(text: str) -> None:
    assert parse_hub(text) is None
