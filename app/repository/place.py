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
        settings: the same, which people may edit: theirs are kept.
        indexes: files that tell of all names, and are written again when one comes.
        newest: of names whose newest version is served, its number.
    """

    folders: dict[str, dict[str, Path]]
    texts: dict[str, str]
    settings: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)


def write(layout: Layout, out: Path, *, replace: bool = False) -> list[str]:
    """Writes what is not there yet, and gives the paths that were written.

    Args:
        replace: what is there and differs, too; versions that would be served in place of the newest are removed.
    Raises:
        UserError: something is there and differs, or is newer; then nothing is written.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; give a folder")
    if release := next((path for path in layout.folders if (out / path / MANIFEST).exists()), None):
        raise UserError(f"{out / release} is a release, which no server's repository can be; give another --out")
    differing = list(_differing(layout, out))
    if differing and not replace:
        raise UserError(f"{out / differing[0]} is there already, and otherwise; give another --out, or --replace to lose it")
    for path in _newer(layout, out):
        if not replace:
            raise UserError(f"{out / path} is newer, and servers would take it; remove it, or give --replace to lose it")
        shutil.rmtree(out / path)
    written = []
    for path, files in layout.folders.items():
        if path in differing or not (out / path).exists():
            _copy(files, out / path)
            written.append(path)
    for path, text in (layout.texts | layout.settings | layout.indexes).items():
        kept = path in layout.settings and (out / path).exists() and not replace
        if not kept and not _holds(out / path, text):
            _write(text, out / path)
            written.append(path)
    return written


def kept(layout: Layout, out: Path) -> list[str]:
    """The settings in a repository that are other ones than would be written."""
    return [path for path, text in layout.settings.items() if (out / path).exists() and not _holds(out / path, text)]


def _differing(layout: Layout, out: Path) -> Iterator[str]:
    for path, files in layout.folders.items():
        if (out / path).exists() and hashes(out / path) != {inside: hashes(source) for inside, source in files.items()}:
            yield path
    for path, text in layout.texts.items():
        if (out / path).exists() and not _holds(out / path, text):
            yield path


def _newer(layout: Layout, out: Path) -> list[str]:
    """Versions in the repository that a server would take in place of the one that is to be its newest."""
    return [
        f"{name}/{child.name}"
        for name, number in layout.newest.items()
        if (out / name).is_dir()
        for child in sorted((out / name).iterdir())
        if child.name.isdecimal() and int(child.name) > number
    ]


def _holds(file: Path, text: str) -> bool:
    return file.is_file() and file.read_bytes() == text.encode()


def _copy(files: dict[str, Path], folder: Path) -> None:
    """Beside its place, then in: a server that looks meanwhile sees all of a version or nothing."""
    partial = folder.parent / f".{folder.name}{PARTIAL}"
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    for inside, source in files.items():
        (partial / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial / inside)
    old = folder.parent / f".{folder.name}.old{PARTIAL}"
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)  # not removed first, which takes longer: for so long there would be no version at all
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(text: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.parent / f".{file.name}{PARTIAL}"
    partial.write_bytes(text.encode())
    os.replace(partial, file)
