"""Files of a person's folder: what they are called in messages, how large their pictures are, and what tells two apart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.data.spec import SplitName
from app.images import EXTENSIONS, load_picture, upright_size

SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip


def shown(path: Path, folder: Path) -> str:
    """A path below the folder as it can be printed: names that are not UTF-8 get a mark for each wrong byte."""
    return os.fsencode(path.relative_to(folder) if path.is_relative_to(folder) else path).decode(errors="replace")


def digest(path: Path) -> str:
    """What changes when a byte of the file changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(paths: Sequence[Path]) -> list[str]:
    """The digest of each file, in their order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(digest, paths))


def list_pictures(folder: Path) -> list[Path]:
    """The picture files at any depth below a folder, by their endings; hidden ones are passed over."""
    found = (path for path in sorted(folder.rglob("*")) if path.name.lower().endswith(EXTENSIONS))
    return [path for path in found if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def find_below(folder: Path, *names: str) -> Path | None:
    """The first folder directly below that has one of the names, in any case."""
    if not folder.is_dir():
        return None
    there = {entry.name.lower(): entry for entry in sorted(folder.iterdir()) if entry.is_dir()}
    return next((there[name] for name in names if name in there), None)


def split_folders(folder: Path) -> dict[Path, SplitName]:
    """The folders directly below that are called like a split."""
    entries = [entry for entry in sorted(folder.iterdir()) if entry.is_dir()] if folder.is_dir() else []
    return {entry: SPLIT_FOLDERS[entry.name.lower()] for entry in entries if entry.name.lower() in SPLIT_FOLDERS}


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture turned upright, by its header.

    Raises:
        UnreadablePicture: it is none.
    """
    try:
        return upright_size(path)
    except Exception:  # Pillow's readers raise nearly anything on damaged bytes; this one says what is wrong
        height, width, _ = load_picture(path, (1, 1, 3)).shape
        return height, width
