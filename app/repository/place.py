"""Writes a repository that servers may be reading: each version appears whole, and nothing that is there is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import UserError
from app.release import MANIFEST, hashes

PARTIAL = ".partial"  # no number: servers take such a folder for no version


@dataclass(frozen=True)
class Layout:
    """What a repository is to hold, by paths inside it.

    Args:
        folders: of versions: the file to copy for every file inside.
        texts: files that are written for one name.
        indexes: files that tell of all names, and are written again when one comes.
    """

    folders: dict[str, dict[str, Path]]
    texts: dict[str, str]
    indexes: dict[str, str] = field(default_factory=dict)


def write(layout: Layout, out: Path, *, replace: bool = False) -> list[str]:
    """Writes what is not there yet, and gives the paths that were written.

    Args:
        replace: what is there and differs, too.
    Raises:
        UserError: something is there and differs; then nothing is written.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; give a folder")
    if release := next((path for path in layout.folders if (out / path / MANIFEST).exists()), None):
        raise UserError(f"{out / release} is a release, which no server's repository can be; give another --out")
    differing = list(_differing(layout, out))
    if differing and not replace:
        raise UserError(f"{out / differing[0]} is there already, and otherwise; give another --out, or --replace to lose it")
    written = []
    for path, files in layout.folders.items():
        if path in differing or not (out / path).exists():
            _copy(files, out / path)
            written.append(path)
    for path, text in (layout.texts | layout.indexes).items():
        if not _holds(out / path, text):
            _write(text, out / path)
            written.append(path)
    return written


def _differing(layout: Layout, out: Path) -> Iterator[str]:
    for path, files in layout.folders.items():
        if (out / path).exists() and hashes(out / path) != {inside: hashes(source) for inside, source in files.items()}:
            yield path
    for path, text in layout.texts.items():
        if (out / path).exists() and not _holds(out / path, text):
            yield path


def _holds(file: Path, text: str) -> bool:
    return file.is_file() and file.read_bytes() == text.encode()


def _copy(files: dict[str, Path], folder: Path) -> None:
    """Beside its place, then in: a server that looks meanwhile sees all of a version or nothing."""
    partial = folder.parent / f".{folder.name}{PARTIAL}"
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    for inside, source in files.items():
        (partial / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial / inside)
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _write(text: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.parent / f".{file.name}{PARTIAL}"
    partial.write_bytes(text.encode())
    os.replace(partial, file)
