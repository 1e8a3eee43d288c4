"""Pascal VOC: an XML file a picture, in Annotations/ or beside the pictures, with lists of the splits if there are any.

Source: Everingham et al.: The PASCAL Visual Object Classes Challenge 2007, development kit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from app.data.files import find_below, list_pictures, shown, split_folders
from app.data.formats.boxed import Annotated, Box, make_source
from app.data.spec import LeftOut, Source, SplitName
from app.errors import UserError
from app.images import EXTENSIONS

LAYOUT = "Annotations/*.xml with JPEGImages/ (Pascal VOC), or .xml files beside the pictures"
LISTS: dict[SplitName, str] = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}
BOTH = "trainval.txt"


def fits(folder: Path) -> bool:
    """Whether there are XML files where VOC has them, or beside pictures."""
    places = (folder, *split_folders(folder))
    apart = [annotations for place in places if (annotations := find_below(place, "annotations"))]
    beside = (*places, *_pictures_below(folder))
    return any(any(place.rglob("*.xml")) for place in apart) or any(any(place.glob("*.xml")) for place in beside)


def load(folder: Path, split_seed: int) -> Source:
    """The pictures that have an XML file, with their boxes; the difficult ones are neither learnt nor counted.

    Boxes: VOC counts pixels from 1 and includes the last, so a box from 1 to 10 is ten pixels wide.
    Raises:
        UserError: there is no box to train on.
    """
    left_out: list[LeftOut] = []
    picture_of = _finder()
    found: dict[SplitName, list[Annotated]] = {}
    for split, files in _splits(folder, left_out).items():
        found[split] = [read for file in files if (read := _read(file, folder, picture_of, left_out))]
    used = {picture.picture for pictures in found.values() for picture in pictures}
    if not find_below(folder, "imagesets"):  # with lists, what is in none is not meant to be used
        bare = [path for path in list_pictures(folder) if path not in used and not _has_xml(path)]
        left_out += [LeftOut(shown(path, folder), "no .xml for it; one without objects makes it background") for path in bare]
    return make_source(folder, found, None, left_out, split_seed)


def read_lists(folder: Path, left_out: list[LeftOut]) -> dict[SplitName, list[str]]:
    """The names in `trainval.txt` and `test.txt` of a folder, else in `train.txt`, `val.txt` and `test.txt`.

    Where a test list stands apart, all of trainval is trained on, as is usual, but for the few that validation is drawn from.
    """
    names = {split: _lines(folder / name) for split, name in LISTS.items() if (folder / name).is_file()}
    if names.get("test") and (folder / BOTH).is_file():
        names = {"train": _lines(folder / BOTH), "test": names["test"]}
    if "train" not in names and (folder / BOTH).is_file():
        names["train"] = [name for name in _lines(folder / BOTH) if name not in set(names.get("val", ()))]
    if names and "train" not in names:
        raise UserError(f"{folder} has {', '.join(LISTS[split] for split in names)} but no train.txt or trainval.txt; add one")
    for split in list(names):
        if not names[split]:
            left_out.append(LeftOut(LISTS[split], "an empty list; it is drawn from train instead"))
            del names[split]
    return names


def _splits(folder: Path, left_out: list[LeftOut]) -> dict[SplitName, list[Path]]:
    """The XML files of each split."""
    annotations = find_below(folder, "annotations")
    if not annotations:
        parts = split_folders(folder)
        if "train" in parts.values():
            files: dict[SplitName, list[Path]] = {}
            for place, split in parts.items():
                files.setdefault(split, []).extend(sorted(place.rglob("*.xml")))
            return files
        return {"train": sorted(folder.rglob("*.xml"))}
    sets = find_below(folder, "imagesets")
    lists = read_lists(sets / "Main", left_out) if sets and (sets / "Main").is_dir() else {}
    if not lists:
        return {"train": sorted(annotations.rglob("*.xml"))}
    there = {file.stem: file for file in sorted(annotations.rglob("*.xml"))}
    for split, names in lists.items():
        missing = [name for name in names if name not in there]
        left_out += [LeftOut(f"{LISTS[split]}: {name}", f"there is no {annotations.name}/{name}.xml") for name in missing]
    if unlisted := len(there.keys() - {name for names in lists.values() for name in names}):
        left_out.append(LeftOut(shown(annotations, folder), f"{unlisted} files that are in no list of {sets and sets.name}/Main"))
    return {split: [there[name] for name in names if name in there] for split, names in lists.items()}


def _read(file: Path, folder: Path, picture_of: Callable[[Path, str], Path | None], left_out: list[LeftOut]) -> Annotated | None:
    """What an XML file says, or nothing if it cannot be used at all."""
    origin = shown(file, folder)
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError, ValueError) as error:
        left_out.append(LeftOut(origin, f"not a readable .xml ({error})"))
        return None
    name = (root.findtext("filename") or "").strip()
    picture = picture_of(file, name)
    if picture is None:
        left_out.append(LeftOut(origin, f"its picture {name or file.stem} is not there"))
        return None
    boxes = [_box(element) for element in root.findall("object")]
    stated = (_whole(root.findtext("size/height")), _whole(root.findtext("size/width")))
    return Annotated(picture, tuple(boxes), origin, stated)


def _box(element: ElementTree.Element) -> Box:
    name = (element.findtext("name") or "").strip()
    ymin, xmin, ymax, xmax = (_number(element.findtext(f"bndbox/{edge}")) for edge in ("ymin", "xmin", "ymax", "xmax"))
    if ymin != ymax and xmin != xmax:  # else one pixel wide as VOC counts them, which is what a slip of the mouse leaves
        ymin, xmin = ymin - 1, xmin - 1
    return Box(name, (ymin, xmin, ymax, xmax), (element.findtext("difficult") or "").strip() == "1")


def _finder() -> Callable[[Path, str], Path | None]:
    """Finds the picture of an XML file by its name or the file's own, beside it or in the folder of pictures."""

    @cache
    def listing(place: Path) -> tuple[dict[str, Path], dict[str, Path]]:
        files = [path for path in sorted(place.iterdir()) if path.name.lower().endswith(EXTENSIONS)]
        return {path.name: path for path in files}, {path.stem: path for path in files}

    @cache
    def places(beside: Path) -> tuple[Path, ...]:
        return (beside, *_pictures_below(beside.parent))

    def find(file: Path, name: str) -> Path | None:
        by_name = (listing(place)[0].get(Path(name.replace("\\", "/")).name) for place in places(file.parent))
        by_stem = (listing(place)[1].get(file.stem) for place in places(file.parent))
        return next((path for path in (*by_name, *by_stem) if path), None)

    return find


def _pictures_below(folder: Path) -> tuple[Path, ...]:
    place = find_below(folder, "jpegimages", "images")
    return (place,) if place else ()


def _has_xml(picture: Path) -> bool:
    """Whether a file says something of a picture, be it broken: that is told already."""
    beside = picture.with_suffix(".xml")
    annotations = find_below(picture.parent.parent, "annotations")
    return beside.is_file() or bool(annotations and (annotations / beside.name).is_file())


def _lines(file: Path) -> list[str]:
    """The names in a list of VOC, where a second word may say whether a class is there."""
    lines = (re.sub(r"\s+-?[01]$", "", line.strip()) for line in file.read_text(errors="replace").splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return math.nan


def _whole(text: str | None) -> int:
    return int(text) if text and text.strip().isdigit() else 0
