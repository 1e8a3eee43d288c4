"""COCO: one JSON file a split, with boxes and outlines, as the challenge and Roboflow have it.

Source: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.data.files import SPLIT_FOLDERS, find_below, picture_size, shown, split_folders
from app.data.formats.boxed import Annotated, Box
from app.data.formats.boxed import make_source as make_boxed
from app.data.formats.masked import Masked
from app.data.formats.masked import make_source as make_masked
from app.data.spec import VOID, Array, LeftOut, Source, SplitName
from app.errors import UserError
from app.images import UnreadablePicture
from app.metrics.segmentation import BACKGROUND
from models.spec import Objective

LAYOUT = "annotations/instances_train.json (COCO), or train|valid|test/_annotations.coco.json"
HEAD = 65_536  # bytes of a JSON file that are looked at to recognise it
KEYS = ("images", "annotations", "categories")


def fits(folder: Path) -> bool:
    """Whether there are JSON files where COCO has them, that look like it."""
    return any(_looks_like_it(file) for file in _candidates(folder))


def load(folder: Path, split_seed: int, objective: Objective) -> Source:
    """The pictures of COCO's JSON files with their boxes, or masks drawn of their outlines over a background.

    Boxes: x, y, width, height in pixels. A crowd is neither learnt nor counted, as box and as mask.
    Raises:
        UserError: a file cannot be read, or there is nothing to train on.
    """
    left_out: list[LeftOut] = []
    files = _splits(folder, left_out)
    contents = {split: [(file, _parse(file)) for file in those] for split, those in files.items()}
    classes = _classes([content for parts in contents.values() for _, content in parts])
    if objective == "segmentation":
        names = dict(enumerate([BACKGROUND, *(name for name in classes if name != BACKGROUND)]))
        number = {name: index for index, name in names.items()}
        masks = {
            split: [
                Masked(picture, partial(_draw, picture, outlines, number, size), where)
                for file, content in parts
                for picture, size, entries, where in _pictures(file, content, folder, split, left_out)
                for outlines in [list(_outlines(entries, where, left_out))]
            ]
            for split, parts in contents.items()
        }
        return make_masked(folder, masks, names, left_out, split_seed)
    boxes = {
        split: [
            Annotated(picture, tuple(_box(name, entry) for name, entry in entries), where, size)
            for file, content in parts
            for picture, size, entries, where in _pictures(file, content, folder, split, left_out)
        ]
        for split, parts in contents.items()
    }
    return make_boxed(folder, boxes, classes, left_out, split_seed)


def _candidates(folder: Path) -> list[Path]:
    places = (folder, find_below(folder, "annotations"), *split_folders(folder))
    return [file for place in places if place for file in sorted(place.glob("*.json"))]


def _looks_like_it(file: Path) -> bool:
    """Whether a file has a key of COCO's near its head or, where pictures take all the room there, its end."""
    with file.open("rb") as opened:
        text = opened.read(HEAD)
        opened.seek(max(0, file.stat().st_size - HEAD))
        text += opened.read()
    return sum(f'"{key}"'.encode() in text for key in KEYS) >= 2


def _splits(folder: Path, left_out: list[LeftOut]) -> dict[SplitName, list[Path]]:
    """The JSON files of each split, told by the folder they are in or a word of their name."""
    files = [file for file in _candidates(folder) if _looks_like_it(file)]
    found: dict[SplitName, list[Path]] = defaultdict(list)
    for file in files:
        words = re.findall(r"[a-z]+", file.stem.lower())
        named = [SPLIT_FOLDERS[word] for word in (file.parent.name.lower(), *words) if word in SPLIT_FOLDERS]
        if named or len(files) == 1:
            found[named[0] if named else "train"].append(file)
        else:
            left_out.append(LeftOut(shown(file, folder), "neither its name nor its folder's says train, val or test"))
    if "train" not in found:
        told = ", ".join(shown(file, folder) for file in files)
        raise UserError(f"{folder} has {told} but none to train on; expected {LAYOUT}")
    return dict(found)


def _parse(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}); mend it or export it again") from None
    if not isinstance(content, dict):
        content = {}
    if missing := [key for key in KEYS if not isinstance(content.get(key), list)]:
        raise UserError(f"{file} lacks {', '.join(missing)}; COCO's files have lists of {', '.join(KEYS)}")
    return content


def _classes(contents: list[dict[str, Any]]) -> tuple[str, ...]:
    """The names of all categories, by their numbers."""
    numbered = {
        entry["id"]: str(entry.get("name", "")) for content in contents for entry in content["categories"] if _has_id(entry)
    }
    ordered = sorted(numbered.items(), key=lambda item: (isinstance(item[0], str), item[0]))
    return tuple(dict.fromkeys(name for _, name in ordered if name))


def _has_id(entry: Any, key: str = "id") -> bool:
    return isinstance(entry, dict) and isinstance(entry.get(key), int | str)


def _pictures(
    file: Path, content: dict[str, Any], folder: Path, split: SplitName, left_out: list[LeftOut]
) -> Iterator[tuple[Path, tuple[int, int], list[tuple[str, dict[str, Any]]], str]]:
    """Of each picture: its path, stated height and width, annotations with the names of their classes, and how to call it."""
    short = shown(file, folder)
    names = {entry["id"]: str(entry.get("name", "")) for entry in content["categories"] if _has_id(entry)}
    of_picture: dict[Any, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for entry in content["annotations"]:
        if not _has_id(entry, "image_id") or not _has_id(entry, "category_id"):
            left_out.append(LeftOut(short, f"an annotation without image_id or category_id: {str(entry)[:40]}"))
        elif entry["category_id"] not in names:
            told = f"annotation {entry.get('id')} has the category {entry['category_id']}, which is none of the categories"
            left_out.append(LeftOut(short, told))
        else:
            of_picture[entry["image_id"]].append((names[entry["category_id"]], entry))
    find, seen = _finder(file, folder, split), set()
    for entry in content["images"]:
        if not _has_id(entry) or entry["id"] in seen:
            left_out.append(LeftOut(short, f"an image without an id of its own: {str(entry)[:40]}"))
            continue
        seen.add(entry["id"])
        name = str(entry.get("file_name", ""))
        height, width = (entry[side] if isinstance(entry.get(side), int) else 0 for side in ("height", "width"))
        yield find(name), (height, width), of_picture.pop(entry["id"], []), f"{short}, {name or entry['id']}"
    for image, entries in of_picture.items():
        left_out.append(LeftOut(short, f"{len(entries)} annotations of the image {image}, which is none of the images"))


def _finder(file: Path, folder: Path, split: SplitName) -> Callable[[str], Path]:
    """Finds a picture beside its JSON file, or below a folder of pictures called like the split."""
    subset = file.stem.rpartition("_")[2]  # train2017 of instances_train2017
    images = find_below(folder, "images") or folder
    same = [name for name, known in SPLIT_FOLDERS.items() if known == split]
    places = [file.parent, *(top / name for top in (images, folder) for name in ("", subset, *same))]

    def find(name: str) -> Path:
        for place in places:
            if name and (place / name).is_file():
                places.sort(key=lambda other: other != place)  # the next one is there, too
                return place / name
        return file.parent / (name or "without file_name")

    return find


def _box(name: str, entry: dict[str, Any]) -> Box:
    bbox = entry.get("bbox")
    fits = isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(edge, int | float) for edge in bbox)
    x, y, width, height = bbox if fits and bbox else (float("nan"),) * 4
    return Box(name, (y, x, y + height, x + width), bool(entry.get("iscrowd")))


def _outlines(entries: list[tuple[str, dict[str, Any]]], where: str, left_out: list[LeftOut]) -> Iterator[tuple[str, Any, bool]]:
    """Class, outline and whether it is a crowd, large things first, so that small ones lie in front of them."""

    def area(entry: dict[str, Any]) -> float:
        stated, box = entry.get("area"), _box("", entry).edges
        return float(stated) if isinstance(stated, int | float) else (box[2] - box[0]) * (box[3] - box[1])

    for name, entry in sorted(entries, key=lambda item: -area(item[1])):
        outline = entry.get("segmentation")
        polygons = isinstance(outline, list) and outline and all(isinstance(part, list) and len(part) >= 6 for part in outline)
        if polygons or (isinstance(outline, dict) and {"counts", "size"} <= outline.keys()):
            yield name, outline, bool(entry.get("iscrowd"))
        else:
            left_out.append(LeftOut(where, f"annotation {entry.get('id')} ({name}) has no outline"))


def _draw(picture: Path, outlines: list[tuple[str, Any, bool]], number: dict[str, int], stated: tuple[int, int]) -> Array:
    """The mask of a picture. Shapes: uint8 [H, W].

    Raises:
        UnreadablePicture: an outline is not for a picture of that size.
    """
    from pycocotools import mask as rle

    size = stated if all(stated) else picture_size(picture)
    mask = np.zeros(size, np.uint8)
    for name, outline, crowd in outlines:
        try:
            whole = isinstance(outline, dict) and not isinstance(outline["counts"], list)
            parts = outline if whole else rle.frPyObjects(outline, *size)
            inside = rle.decode(rle.merge(parts) if isinstance(parts, list) else parts).astype(bool)
            mask[inside] = VOID if crowd else number[name]
        except (ValueError, IndexError, TypeError) as error:
            raise UnreadablePicture(f"the outline of {name} does not fit {size[1]}x{size[0]} pixels ({error})") from None
    return mask
