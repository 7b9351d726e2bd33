"""The repository as git knows it, and the versions that its environments are held to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = os.environ.get("LOCK", str(ROOT / "constraints.txt"))


def copy_tracked(folder: Path) -> Path:
    """A copy of the working tree's files that git tracks, without builds and environments."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0")[:-1]:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder
