"""Folders of pictures and of masks that are called alike: `images/ masks/`, `train/ trainannot/`, or VOC's SegmentationClass/."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from app.data.files import find_below, list_pictures, shown, split_folders
from app.data.formats.classes import find_list, read_list
from app.data.formats.masked import Masked, make_source, read_mask
from app.data.formats.voc import read_lists
from app.data.spec import LeftOut, Source, SplitName

LAYOUT = "images/ with masks/, train|val|test/images with masks, train/ with trainannot/, or SegmentationClass/ (Pascal VOC)"
PICTURES = ("images", "image", "imgs", "jpegimages")
MASKS = ("masks", "mask", "annotations", "labels", "annot")
SUFFIXES = ("annot", "_annot", "masks", "_masks", "_mask", "_labels")  # of the folder of masks beside a folder of pictures
ENDINGS = re.compile(r"(_mask|_masks|_label|_labels|_gt|_L)$")  # of the name of a mask, beside its picture's
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
CAMVID_CLASSES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist", "void",
)  # fmt: skip
PUBLISHED = {r"VOC20\d\d": VOC_CLASSES, r"CamVid": CAMVID_CLASSES}  # by what such a folder is called, if it has no classes.txt
Pair = tuple[Path, Path]


def fits(folder: Path) -> bool:
    """Whether there is a folder of masks for a folder of pictures."""
    return _is_voc(folder) or any(any(list_pictures(masks)) for pairs in _pairs(folder).values() for _, masks in pairs)


def load(folder: Path, split_seed: int) -> Source:
    """The pictures that have a mask of the same name.

    The classes are those of classes.txt, else the published ones if the folder is called VOC2012 or CamVid, else the numbers
    in the masks. 255 is void unless it is named.


    Raises:
        UserError: there are not two classes to train on.
    """
    left_out: list[LeftOut] = []
    found: dict[SplitName, list[Masked]] = {}
    for split, pairs in _pairs(folder).items():
        found[split] = [each for pictures, masks in pairs for each in _matched(pictures, masks, folder, left_out)]
    if _is_voc(folder):
        found = _listed(folder, found["train"], left_out)
    file = find_list(folder)
    published = [names for name, names in PUBLISHED.items() if re.fullmatch(name, folder.resolve().name, re.IGNORECASE)]
    names = read_list(file) if file else dict(enumerate(published[0])) if published else None
    return make_source(folder, found, names, left_out, split_seed)


def _is_voc(folder: Path) -> bool:
    return bool(find_below(folder, "segmentationclass") and find_below(folder, *PICTURES))


def _pairs(folder: Path) -> dict[SplitName, list[Pair]]:
    """The folders of pictures and masks of each split."""
    pictures, masks = find_below(folder, *PICTURES), find_below(folder, "segmentationclass", *MASKS)
    if pictures and masks:
        parts = {place: split for place, split in split_folders(pictures).items() if find_below(masks, place.name.lower())}
        if "train" not in parts.values():
            return {"train": [(pictures, masks)]}
        return _grouped([(split, (place, masks / place.name)) for place, split in parts.items()])
    found: list[tuple[SplitName, Pair]] = []
    for place, split in split_folders(folder).items():
        inside, beside = find_below(place, *PICTURES), find_below(folder, *(place.name.lower() + suffix for suffix in SUFFIXES))
        within = find_below(place, *MASKS)
        if inside and within:
            found.append((split, (inside, within)))
        elif beside:
            found.append((split, (place, beside)))
    return _grouped(found)


def _grouped(found: list[tuple[SplitName, Pair]]) -> dict[SplitName, list[Pair]]:
    grouped: dict[SplitName, list[Pair]] = {}
    for split, pair in found:
        grouped.setdefault(split, []).append(pair)
    return grouped if "train" in grouped else {}


def _matched(pictures: Path, masks: Path, folder: Path, left_out: list[LeftOut]) -> list[Masked]:
    """The pictures with the masks of the same name; what has no counterpart is left out."""
    of = {str(path.relative_to(pictures).with_suffix("")): path for path in list_pictures(pictures)}
    found, used = [], set()
    for path in list_pictures(masks):
        name = str(path.relative_to(masks).with_suffix(""))
        picture = name if name in of else ENDINGS.sub("", name)
        if picture in of:
            found.append(Masked(of[picture], partial(read_mask, path), shown(path, folder)))
            used.add(picture)
        else:
            left_out.append(LeftOut(shown(path, folder), f"there is no picture for it in {shown(pictures, folder)}"))
    if not _is_voc(folder):  # most pictures of VOC have boxes alone
        bare = [path for name, path in of.items() if name not in used]
        left_out += [LeftOut(shown(path, folder), f"there is no mask for it in {shown(masks, folder)}") for path in bare]
    return sorted(found, key=lambda each: each.origin)


def _listed(folder: Path, every: list[Masked], left_out: list[LeftOut]) -> dict[SplitName, list[Masked]]:
    """The pictures of VOC by the lists of its splits, if there are any."""
    sets = find_below(folder, "imagesets")
    lists = read_lists(sets / "Segmentation", left_out) if sets and (sets / "Segmentation").is_dir() else {}
    if not lists:
        return {"train": every}
    there = {each.picture.stem: each for each in every}
    for split, names in lists.items():
        left_out += [LeftOut(f"{split}.txt: {name}", "there is no mask for it") for name in names if name not in there]
    return {split: [there[name] for name in names if name in there] for split, names in lists.items()}
