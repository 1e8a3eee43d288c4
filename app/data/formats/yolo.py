"""YOLO: a text file a picture with lines of class, centre x, centre y, width and height, and a data.yaml that names the classes.

Source: the format of Darknet and of Ultralytics' and Roboflow's exports, as their documentation describes it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from app.data.files import SPLIT_FOLDERS, find_below, list_pictures, shown, split_folders
from app.data.formats.boxed import Annotated, Box, make_source
from app.data.formats.classes import find_list, read_list
from app.data.formats.yaml import parse
from app.data.spec import LeftOut, Source, SplitName
from app.errors import UserError
from app.images import EXTENSIONS

LAYOUT = "data.yaml with names and train, val, test (YOLO), or images/ with labels/*.txt"
NAN = (math.nan,) * 4


def fits(folder: Path) -> bool:
    """Whether there is a .yaml that names classes, or a folder of labels for a folder of pictures."""
    if _find_yaml(folder):
        return True
    roots = (folder, *split_folders(folder))
    labels = [find_below(root, "labels") for root in roots if find_below(root, "images")]
    return any(place and any(place.rglob("*.txt")) for place in labels)


def load(folder: Path, split_seed: int) -> Source:
    """The pictures with the boxes of their text files; a picture without one is background.

    Boxes: centre, width and height in fractions of the picture. An outline of more points becomes the box around it.
    Raises:
        UserError: the .yaml cannot be used, or there is no box to train on.
    """
    left_out: list[LeftOut] = []
    file = _find_yaml(folder)
    described = _read_yaml(file) if file else {}
    listed = find_list(folder)
    names = _names(described.get("names"), file) if file else read_list(listed) if listed else None
    places = _described(folder, file, described, left_out) if file else _lying(folder)
    found: dict[SplitName, list[Annotated]] = {}
    for split, pictures in places.items():
        found[split] = [_annotated(picture, folder, names, left_out) for picture in pictures]
    _tell_orphans(folder, found, left_out)
    known = list(names.values()) if names else sorted({box.name for each in found["train"] for box in each.boxes}, key=_by_number)
    return make_source(folder, found, known, left_out, split_seed)


def _find_yaml(folder: Path) -> Path | None:
    files = sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")), key=lambda file: (file.stem != "data", file.name))
    return next((file for file in files if "names" in file.read_text(errors="replace")), None)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        described = parse(file.read_text(encoding="utf-8-sig", errors="replace"))
    except ValueError as error:
        raise UserError(f"{file}: {error}; expected lines such as names: [cat, dog] and train: images/train") from None
    if not described.get("names") or not described.get("train"):
        told = ", ".join(described) or "nothing"
        raise UserError(f"{file} has {told}; it needs names (a list, or number: name) and train (a folder of pictures)")
    return described


def _names(given: Any, file: Path) -> dict[int, str]:
    """The classes of a list, or of a mapping of numbers to names."""
    if isinstance(given, list):
        return dict(enumerate(map(str, given)))
    if isinstance(given, dict) and all(number.isdigit() for number in given):
        return {int(number): str(name) for number, name in sorted(given.items(), key=lambda item: int(item[0]))}
    raise UserError(f"{file}: names is {given!r}; it has to be a list of names, or number: name lines")


def _described(folder: Path, file: Path, described: dict[str, Any], left_out: list[LeftOut]) -> dict[SplitName, list[Path]]:
    """The pictures of each split as the .yaml says."""
    found: dict[SplitName, list[Path]] = {}
    taken: set[Path] = set()
    for key in ("train", "val", "valid", "validation", "test"):
        entries = described.get(key) or []
        split = SPLIT_FOLDERS[key]
        for entry in entries if isinstance(entries, list) else [entries]:
            place = _place(file, str(described.get("path") or ""), str(entry))
            if place is None:
                if split == "train":
                    raise UserError(f"{file}: train is {entry}, which is not there; give a folder below {folder}")
                left_out.append(LeftOut(shown(file, folder), f"{key} is {entry}, which is not there; drawn from train"))
                continue
            pictures = [path for path in _pictures(place) if path not in taken]
            if not pictures:
                why = "has the pictures of another split" if any(_pictures(place)) else "has no picture"
                left_out.append(LeftOut(shown(file, folder), f"{key} is {entry}, which {why}; drawn from train"))
                continue
            taken |= set(pictures)
            found.setdefault(split, []).extend(pictures)
    if "train" not in found:
        raise UserError(f"{file}: train is {described['train']}, which has no picture")
    return found


def _place(file: Path, path: str, entry: str) -> Path | None:
    """Where an entry points to: below `path`, or the .yaml's folder, where Roboflow's ../train/images are, too."""
    tops = (file.parent / path, file.parent)
    ways = [top / way for top in tops for way in (entry, entry.removeprefix("../"), entry.removeprefix("./"))]
    return next((way for way in ways if way.is_dir() or (way.suffix == ".txt" and way.is_file())), None)


def _pictures(place: Path) -> list[Path]:
    """The pictures of a folder, or of a list of them, whose lines start where the list lies."""
    if place.is_dir():
        return list_pictures(place)
    lines = [line.strip() for line in place.read_text(errors="replace").splitlines()]
    return list(dict.fromkeys(place.parent / line.removeprefix("./") for line in lines if line.lower().endswith(EXTENSIONS)))


def _lying(folder: Path) -> dict[SplitName, list[Path]]:
    """The pictures of each split by where they lie: images/train, train/images, or images alone."""
    images = find_below(folder, "images")
    parts = split_folders(images or folder)
    if images and "train" not in parts.values():
        return {"train": list_pictures(images)}
    found: dict[SplitName, list[Path]] = {}
    for place, split in parts.items():
        found.setdefault(split, []).extend(list_pictures(place if images else find_below(place, "images") or place))
    if "train" not in found:
        raise UserError(f"{folder} has {', '.join(place.name for place in parts)} but no pictures in train; expected {LAYOUT}")
    return found


def _label_file(picture: Path) -> Path:
    """Where the boxes of a picture stand: labels/ in place of the last images/ of its path, else beside it."""
    parts = list(picture.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].lower() == "images":
            swapped = Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt")
            return swapped if swapped.parent.is_dir() else picture.with_suffix(".txt")
    return picture.with_suffix(".txt")


def _annotated(picture: Path, folder: Path, names: dict[int, str] | None, left_out: list[LeftOut]) -> Annotated:
    """A picture with its boxes; lines that say no box, or one of an unknown class, are left out."""
    file = _label_file(picture)
    origin = shown(file, folder)
    if not file.is_file():
        return Annotated(picture, (), shown(picture, folder))
    boxes = []
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        kind, edges = _read_line(line)
        name = None if kind is None else str(kind) if names is None else names.get(kind)
        if kind is None or edges is None:
            left_out.append(LeftOut(origin, f"line {number} is no class with 4 numbers or an outline: {line.strip()[:40]}"))
        elif name is None:
            left_out.append(LeftOut(origin, f"line {number} has the class {kind}; the classes are 0 to {max(names or [0])}"))
        elif max(map(abs, edges)) > 2:
            left_out.append(LeftOut(origin, f"line {number} ({name}) is not in fractions of the picture: {line.strip()[:40]}"))
        else:
            boxes.append(Box(name, edges))
    return Annotated(picture, tuple(boxes), origin)


def _read_line(line: str) -> tuple[int | None, tuple[float, float, float, float] | None]:
    """Class number and edges: ymin, xmin, ymax, xmax."""
    try:
        kind, *numbers = (float(word) for word in line.split())
    except ValueError:
        return None, None
    if not all(map(math.isfinite, (kind, *numbers))) or kind != int(kind) or kind < 0:
        return None, None
    if len(numbers) == 4:
        x, y, width, height = numbers
        return int(kind), (y - height / 2, x - width / 2, y + height / 2, x + width / 2)
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        across, down = numbers[::2], numbers[1::2]
        return int(kind), (min(down), min(across), max(down), max(across))
    return int(kind), None


def _tell_orphans(folder: Path, found: dict[SplitName, list[Annotated]], left_out: list[LeftOut]) -> None:
    """Leaves out files of boxes that have no picture."""
    used = {_label_file(each.picture) for pictures in found.values() for each in pictures}
    for place in {file.parent for file in used}:
        if place.name == "labels" or place.parent.name == "labels":
            orphans = [file for file in sorted(place.glob("*.txt")) if file not in used]
            left_out += [LeftOut(shown(file, folder), "there is no picture for it") for file in orphans]


def _by_number(name: str) -> int:
    return int(name)
