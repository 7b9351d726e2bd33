"""``ugrn artifacts``: lists, verifies and finds artifacts."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import typer

from ugrn.runtime import find_artifact
from ugrn.runtime.artifact.folder import read_lines
from ugrn.runtime.artifact.library import InstalledArtifact, installed, user_folder
from ugrn.runtime.artifact.manifest import MANIFEST, parse_manifest
from ugrn.runtime.errors import ArtifactError, InputError

from .console import Console, Json

HELP = """List, verify and find artifacts: the bundled one, yours, and those fetched from a model hub.

An artifact of yours is a folder below the one that 'ugrn artifacts path' prints; UGRN_HOME moves it. With
UGRN_OFFLINE=1 nothing is ever fetched.
"""
COLUMNS = ("name", "place", "backbone", "genes", "licence", "MB", "translator")
Reference = "A name, a folder, or owner/repository@commit of a model hub; may end with #sha256=HASH."

command = typer.Typer(help=HELP, no_args_is_help=True)


@command.command("list")
def list_artifacts(json: Json = False) -> None:
    """List the artifacts that have a name here; their files are not checked.

    Example: ugrn artifacts list
    """
    rows = [_metadata(found) for found in installed()]
    Console(json=json).result({"artifacts": rows}, _table(rows))


@command.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help=f"{Reference} All that are listed if left out.")] = None,
    json: Json = False,
) -> None:
    """Check every file of artifacts against the hashes in their manifests; exit code 2 where one is damaged.

    Example: ugrn artifacts verify mini
    """
    console = Console(json=json)
    troubles = []
    for name in names or [found.name for found in installed()]:
        try:
            artifact = find_artifact(name)
        except InputError as error:
            troubles.append(str(error))
            console.result({"name": name, "whole": False, "trouble": str(error)}, [f"{name}: cannot be used"])
            continue
        files = len(artifact.manifest.files)
        console.result(
            {"name": name, "whole": True, "folder": artifact.folder, "files": files, "sha256": artifact.digest},
            [f"{name}: {files} files, all as the manifest says; sha256 {artifact.digest}"],
        )
    if troubles:
        raise ArtifactError("\n".join(troubles))


@command.command()
def path(
    name: Annotated[str | None, typer.Argument(help=f"{Reference} The folder for yours if left out.")] = None,
    json: Json = False,
) -> None:
    """Print the folder of an artifact, fetching it from a hub if it is not here yet; or the folder for your own.

    Examples:

        ugrn artifacts path mini

        ugrn artifacts path
    """
    if name is None:
        folder = user_folder() / "artifacts"
        folder.mkdir(parents=True, exist_ok=True)
    else:
        folder = find_artifact(name).folder
    Console(json=json).result({"name": name, "folder": folder}, [str(folder)])


def _metadata(found: InstalledArtifact) -> dict[str, Any]:
    """The metadata of an artifact by its manifest and gene list, or the trouble with them."""
    metadata: dict[str, Any] = {"name": found.name, "place": found.place, "folder": found.folder}
    raw = (found.folder / MANIFEST).read_bytes()
    try:
        manifest = parse_manifest(raw, found.folder)
        genes = len(read_lines(found.folder / "genes.txt"))
    except (ArtifactError, OSError) as error:
        return metadata | {"trouble": str(error)}
    return metadata | {
        "backbone": manifest.backbone,
        "genes": genes,
        "licence": manifest.licence,
        "bytes": len(raw) + sum(int(entry["size"]) for entry in manifest.files.values()),
        "translator": "translator.npz" in manifest.files,
        "sha256": hashlib.sha256(raw).hexdigest(),
    }


def _table(rows: list[dict[str, Any]]) -> list[str]:
    cells = [COLUMNS] + [
        (row["name"], row["place"], " ".join(f"damaged: {row['trouble']}".split()))
        if "trouble" in row
        else (
            row["name"],
            row["place"],
            row["backbone"],
            f"{row['genes']:,}",
            " ".join(row["licence"].split()),
            f"{row['bytes'] / 1e6:.1f}",
            "yes" if row["translator"] else "no",
        )
        for row in rows
    ]
    widths = [max(len(cell[column]) for cell in cells if len(cell) == len(COLUMNS)) for column in range(len(COLUMNS))]
    widths[:2] = [max(len(cell[column]) for cell in cells) for column in range(2)]
    return ["  ".join(f"{text:<{width}}" for text, width in zip(cell, widths, strict=False)).rstrip() for cell in cells]
