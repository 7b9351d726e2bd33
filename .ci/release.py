"""A release up to the point where it would be published: ``make release``.

Builds the source archive and the wheel of the last commit, checks their metadata and that they hold exactly the files
they should, installs the wheel alone into an environment of its own, and scores with it. Publishes nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("runtime", "cli", "artifacts", "export", "web")
UNRELEASED = "unreleased"


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    heading = changelog_heading((ROOT / "CHANGELOG.md").read_text(), project["version"])
    dist = ROOT / "dist"
    for old in dist.glob("*"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        run("git", "worktree", "add", "--quiet", "--detach", source)
        try:
            run(sys.executable, "-m", "build", "--outdir", dist, source)
        finally:
            run("git", "worktree", "remove", "--force", source)
    (wheel,), (archive,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, archive)
    check_contents(wheel, archive)
    score_with(wheel)
    print(f"\nbuilt and checked, not published: {wheel.name}, {archive.name}")
    if UNRELEASED in heading:
        print(f"first: date the section {heading!r} of CHANGELOG.md, commit, and run this again")
    print(f"to publish: git tag v{project['version']} && git push --tags, then twine upload dist/*")


def changelog_heading(text: str, version: str) -> str:
    """The heading of a version's section.

    Raises:
        SystemExit: the changelog begins with another version.
    """
    first = re.search(r"^## (.*)$", text, re.MULTILINE)
    if first is None or first[1].split()[0] != version:
        sys.exit(f"CHANGELOG.md begins with {first and first[1]!r}; expected a section of {version} (pyproject.toml)")
    return first[1]


def check_contents(wheel: Path, archive: Path) -> None:
    """Compare the files of the wheel and of the source archive with those that git knows.

    Raises:
        SystemExit: naming what is missing or too much.
    """
    listed = run("git", "ls-files", *PACKAGES, capture=True).split("\n")
    expected = {f"ugrn/{name}" for name in listed if name}
    with zipfile.ZipFile(wheel) as file:
        shipped = {name for name in file.namelist() if not name.startswith("ugrn-") and not name.endswith("/")}
    with tarfile.open(archive) as file:
        packed = {name.partition("/")[2] for name in file.getnames()}
    for what, wrong in (
        ("missing in the wheel", expected - shipped),
        ("in the wheel and not in git", shipped - expected),
        ("missing in the source archive", {name for name in listed if name} - packed),
    ):
        if wrong:
            sys.exit(f"{what}: {', '.join(sorted(wrong))}")


def score_with(wheel: Path) -> None:
    """Install the wheel alone and score the bundled artifact's example pairs with it."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder) / "env", with_pip=True)
        python = Path(folder) / "env" / "bin" / "python"
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, "-c", ROOT / "constraints.txt", f"{wheel}[cpu]", cwd=folder)
        run(python.with_name("ugrn"), "score", "--example", "-o", "edges.csv", "--top", "3", cwd=folder)


def run(*command: str | Path, capture: bool = False, cwd: str | Path = ROOT) -> str:
    """Run a command, and stop with its exit code where it fails; its output where it is captured."""
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE if capture else None, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}")
    return done.stdout or ""


if __name__ == "__main__":
    main()
