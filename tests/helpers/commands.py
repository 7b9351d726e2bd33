"""The command line run inside this process: the same words, streams and exit codes, without a second of imports.

What only a process of its own shows (signals, terminals, pipes that close) is tested with one.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from ugrn.cli.main import run


def ugrn_bytes(
    *arguments: object, cwd: Path | None = None, given: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """A command of ugrn, with bytes on standard input, output and error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    words = ["ugrn", *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd or Path.cwd())
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        patch.setattr("sys.argv", words)
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        try:
            run()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return subprocess.CompletedProcess(words, code, *(stream.buffer.getvalue() for stream in (out, err)))


def ugrn(
    *arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same with text."""
    done = ugrn_bytes(*arguments, cwd=cwd, env=env)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
