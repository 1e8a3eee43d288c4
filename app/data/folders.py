"""A person's folder of pictures: `class/picture`, or `train|val|test/class/picture`."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.data.spec import LeftOut, Pictures, Source, SplitName
from app.data.splits import complete
from app.errors import UserError
from app.images import EXTENSIONS

SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip
LAYOUT = "expected class/picture.jpg or train|val|test/class/picture.jpg"


def load(folder: Path, split_seed: int) -> Source:
    """The pictures of a folder with their classes; splits that it lacks are drawn from train, stratified.

    Raises:
        UserError: there are not two classes with pictures, or a split has classes that train lacks.
    """
    left_out: list[LeftOut] = []
    top = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    split_folders = {entry: SPLIT_FOLDERS[entry.name.lower()] for entry in top if entry.name.lower() in SPLIT_FOLDERS}
    if "train" in split_folders.values():
        left_out += [LeftOut(str(entry.relative_to(folder)), "not in a split") for entry in top if entry not in split_folders]
        roots = split_folders
    else:
        roots = {folder: "train"}
    found: dict[SplitName, list[tuple[Path, str]]] = defaultdict(list)
    for root, split in roots.items():
        found[split] += _labelled(root, folder, left_out)
    classes = sorted({name for _, name in found["train"]})
    if len(classes) < 2:
        seen = f"{len(classes)} class{'es' if len(classes) != 1 else ''} with pictures" + (f" ({classes[0]})" if classes else "")
        raise UserError(f"{folder} has {seen}; at least 2 are needed; {LAYOUT}")
    for split, files in found.items():
        if strange := sorted({name for _, name in files} - set(classes)):
            raise UserError(f"{folder}: {split} has classes that train lacks ({', '.join(strange)}); give train pictures of them")
    digests = {path: _digest(path) for files in found.values() for path, _ in files}
    facts = sorted((str(p.relative_to(folder)), name, s, digests[p]) for s, files in found.items() for p, name in files)
    return Source(
        name=folder.resolve().name,
        classes=tuple(classes),
        splits=complete({split: _pictures(files, classes, folder) for split, files in found.items()}, split_seed),
        channels=3,
        fingerprint=hashlib.sha256(json.dumps([facts, split_seed]).encode()).hexdigest()[:16],
        left_out=tuple(left_out),
    )


def _labelled(root: Path, folder: Path, left_out: list[LeftOut]) -> Iterator[tuple[Path, str]]:
    """Files below `root` that look like pictures, with the name of the class folder each is in."""
    for entry in sorted(root.iterdir()):
        shown = str(entry.relative_to(folder))
        if entry.name.startswith("."):
            left_out.append(LeftOut(shown, "hidden"))
        elif entry.is_dir():
            if folder == root or entry.name.lower() not in SPLIT_FOLDERS:
                files = list(_walk(entry, folder, left_out))
                if not files:
                    left_out.append(LeftOut(shown, "a class without pictures"))
                yield from ((path, entry.name) for path in files)
        else:
            left_out.append(LeftOut(shown, "not in a class folder"))


def _walk(top: Path, folder: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Picture files at any depth; links are followed, each real folder once on the way down."""
    seen: set[str] = set()
    for here, folders, files in os.walk(top, followlinks=True):
        shown = Path(here).relative_to(folder)
        real = os.path.realpath(here)
        if real in seen or (here != str(top) and os.path.realpath(top).startswith(real)):
            left_out.append(LeftOut(str(shown), "a link to a folder that is there already"))
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in [name for name in folders if name.startswith(".")]:
            left_out.append(LeftOut(str(shown / name), "hidden"))
            folders.remove(name)
        for name in sorted(files):
            if name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini"):
                left_out.append(LeftOut(str(shown / name), "hidden"))
            elif not name.lower().endswith(EXTENSIONS):
                left_out.append(LeftOut(str(shown / name), f"not a picture by its ending ({', '.join(EXTENSIONS)})"))
            elif not os.access(Path(here, name), os.R_OK):
                reason = "cannot be read" if Path(here, name).exists() else "a link to nothing"
                left_out.append(LeftOut(str(shown / name), reason))
            else:
                yield Path(here, name)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pictures(files: list[tuple[Path, str]], classes: list[str], folder: Path) -> Pictures:
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[name] for _, name in files], np.int64)
    return Pictures(lambda i: files[i][0], labels, [str(path.relative_to(folder)) for path, _ in files])
