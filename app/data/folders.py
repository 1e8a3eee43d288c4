"""A person's folder of pictures: `class/picture`, or `train|val|test/class/picture`; boxes and masks are left to the formats."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.data.files import SPLIT_FOLDERS, digests, shown
from app.data.formats import layout
from app.data.spec import LeftOut, Pictures, Source, SplitName, first_of
from app.data.splits import complete
from app.errors import UserError
from app.images import EXTENSIONS
from models.spec import Objective

SYSTEM_FILES = ("thumbs.db", "desktop.ini")
LAYOUT = "expected class/picture.jpg or train|val|test/class/picture.jpg"


def load(folder: Path, split_seed: int, objective: Objective = "classification") -> Source:
    """The pictures of a folder with their classes, boxes or masks; splits that it lacks are drawn from train, stratified.

    Raises:
        UserError: there are not two classes with pictures, a split has classes that train lacks, or no format fits.
    """
    if objective != "classification":
        return layout.load(folder, split_seed, objective)
    layout.check_is_of_classes(folder)
    left_out: list[LeftOut] = []
    found: dict[SplitName, list[tuple[Path, str]]] = defaultdict(list)
    for root, split in _split_roots(folder, left_out).items():
        found[split] += _labelled(root, folder, left_out)
    classes = sorted({name for _, name in found["train"]})
    if len(classes) < 2:
        seen = f"{len(classes)} class{'es' if len(classes) != 1 else ''} with pictures" + (f" ({classes[0]})" if classes else "")
        raise UserError(f"{folder} has {seen}; at least 2 are needed; {LAYOUT}{first_of(left_out)}")
    for split, files in found.items():
        if strange := sorted({name for _, name in files} - set(classes)):
            raise UserError(f"{folder}: {split} has classes that train lacks ({', '.join(strange)}); give train pictures of them")
    facts = [(shown(path, folder), name, split, path) for split, files in found.items() for path, name in files]
    contents = digests([path for *_, path in facts])
    identity = [(*fact[:-1], content) for fact, content in zip(facts, contents, strict=True)]
    return Source(
        name=folder.resolve().name,
        classes=tuple(classes),
        splits=complete({split: _pictures(files, classes, folder) for split, files in found.items()}, split_seed),
        channels=3,
        fingerprint=hashlib.sha256(json.dumps([identity, split_seed]).encode()).hexdigest()[:16],
        left_out=tuple(left_out),
    )


def _split_roots(folder: Path, left_out: list[LeftOut]) -> dict[Path, SplitName]:
    """The folders that hold classes, with the split of each; what lies beside them is left out.

    Raises:
        UserError: there are held-out pictures but none to train on.
    """
    entries = sorted(folder.iterdir())
    splits = {
        entry: SPLIT_FOLDERS[entry.name.lower()] for entry in entries if entry.name.lower() in SPLIT_FOLDERS and entry.is_dir()
    }
    if "train" in splits.values():
        others = [entry for entry in entries if entry not in splits]
        left_out += [LeftOut(shown(entry, folder), _hidden(entry) or "not in a split") for entry in others]
        return splits
    for entry in splits:
        if any(below.is_dir() for below in entry.iterdir()):
            raise UserError(f"{folder} has {entry.name}/class but no train/class; {LAYOUT}")
    return {folder: "train"}


def _labelled(root: Path, folder: Path, left_out: list[LeftOut]) -> Iterator[tuple[Path, str]]:
    """Files below `root` that look like pictures, with the name of the class folder each is in."""
    for entry in sorted(root.iterdir()):
        name = shown(entry, folder)
        if reason := _hidden(entry):
            left_out.append(LeftOut(name, reason))
        elif entry.is_dir():
            files = list(_walk(entry, folder, left_out))
            if not files:
                left_out.append(LeftOut(name, "a class without pictures"))
            yield from ((path, shown(entry, root)) for path in files)
        else:
            left_out.append(LeftOut(name, "not in a class folder"))


def _walk(top: Path, folder: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Picture files at any depth; links are followed, to each real folder once and never back up."""

    def unlistable(error: OSError) -> None:
        left_out.append(LeftOut(shown(Path(error.filename), folder), "cannot be read"))

    seen = set(top.resolve().parents)
    for here, folders, files in os.walk(top, onerror=unlistable, followlinks=True):
        real = Path(here).resolve()
        if real in seen:
            left_out.append(LeftOut(shown(Path(here), folder), "a link to a folder that is there already"))
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for path in [Path(here, name) for name in folders]:
            if reason := _hidden(path):
                left_out.append(LeftOut(shown(path, folder), reason))
                folders.remove(path.name)
        for path in [Path(here, name) for name in sorted(files)]:
            if reason := _hidden(path) or _unusable(path):
                left_out.append(LeftOut(shown(path, folder), reason))
            else:
                yield path


def _hidden(path: Path) -> str:
    return "hidden" if path.name.startswith(".") or path.name.lower() in SYSTEM_FILES else ""


def _unusable(path: Path) -> str:
    """Why a file is not even opened, or nothing."""
    if not path.name.lower().endswith(EXTENSIONS):
        return f"not a picture by its ending ({', '.join(EXTENSIONS)})"
    if not os.path.isfile(path):  # a pipe would be waited for
        return "a link to nothing" if path.is_symlink() else "not a file"
    return "" if os.access(path, os.R_OK) else "cannot be read"


def _pictures(files: list[tuple[Path, str]], classes: list[str], folder: Path) -> Pictures:
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[name] for _, name in files], np.int64)
    return Pictures(lambda i: files[i][0], labels, [shown(path, folder) for path, _ in files])
