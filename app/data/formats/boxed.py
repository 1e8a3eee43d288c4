"""Pictures with boxes, whatever file the boxes came from: checked, numbered, and made the source of a detector."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.data.files import digests, picture_size, shown
from app.data.spec import Array, LeftOut, Pictures, Source, SplitName, first_of
from app.data.splits import complete
from app.errors import UserError
from app.images import UnreadablePicture


@dataclass(frozen=True)
class Box:
    """A box and the name of its class.

    Args:
        name: empty if the place that should name it does not.
        edges: ymin, xmin, ymax, xmax, see `Annotated.pixels`; not a number where there is none to read.
        ignored: neither learnt nor counted: difficult, or a crowd.
    """

    name: str
    edges: tuple[float, float, float, float]
    ignored: bool = False


@dataclass(frozen=True)
class Annotated:
    """A picture and its boxes; one without any is background.

    Args:
        origin: what a message calls the place where the boxes are written.
        pixels: edges are pixels of the picture, whose height and width are stated here if known, else 0; None: fractions of it.
    """

    picture: Path
    boxes: tuple[Box, ...]
    origin: str
    pixels: tuple[int, int] | None = None


def make_source(
    folder: Path,
    found: Mapping[SplitName, Sequence[Annotated]],
    classes: Sequence[str] | None,
    left_out: list[LeftOut],
    split_seed: int,
) -> Source:
    """The source of a detector; splits that are lacking are drawn from train. Boxes that stick out are clipped.

    Args:
        classes: the names there may be, in their order; None: those that train has, sorted.
        left_out: grows by every picture and box that cannot be used.
    Raises:
        UserError: train has no box, or another split has classes that train lacks.
    """
    sound = {split: _checked(pictures, folder, left_out) for split, pictures in found.items()}
    names = _names(folder, sound, classes, left_out)
    for held in [split for split in sound if split != "train" and not any(picture.boxes for picture in sound[split])]:
        left_out.append(LeftOut(held, f"its {len(sound[held])} pictures have no box; it is drawn from train instead"))
        del sound[held]
    most = max((len(picture.boxes) for pictures in sound.values() for picture in pictures), default=0)
    splits: dict[SplitName, Pictures] = {}
    for split, pictures in sound.items():
        paths = [picture.picture for picture in pictures]
        shorts = [shown(path, folder) for path in paths]
        splits[split] = Pictures(paths.__getitem__, _array(pictures, names, max(1, most)), shorts)
    facts = [
        (split, name, digest, splits[split].labels[index].tolist())
        for split in splits
        for index, (name, digest) in enumerate(
            zip(splits[split].names, digests([picture.picture for picture in sound[split]]), strict=True)
        )
    ]
    return Source(
        name=folder.resolve().name,
        classes=names,
        splits=complete(splits, split_seed),
        channels=3,
        fingerprint=hashlib.sha256(json.dumps([facts, names, split_seed]).encode()).hexdigest()[:16],
        left_out=tuple(left_out),
        objective="detection",
    )


def _checked(pictures: Sequence[Annotated], folder: Path, left_out: list[LeftOut]) -> list[Annotated]:
    """The pictures that can be opened, with the boxes that lie in them, as fractions."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = list(pool.map(_size, pictures))
    good = []
    for picture, size in zip(pictures, sizes, strict=True):
        if isinstance(size, str):
            left_out.append(LeftOut(shown(picture.picture, folder) if picture.picture.is_file() else picture.origin, size))
            continue
        kept = []
        for number, box in enumerate(picture.boxes, start=1):
            edges = _inside(box.edges, size) if box.name else "has no class"
            if isinstance(edges, str):
                left_out.append(LeftOut(picture.origin, f"box {number}{f' ({box.name})' if box.name else ''} {edges}"))
            else:
                kept.append(replace(box, edges=edges))
        good.append(replace(picture, boxes=tuple(kept), pixels=None))
    return good


def _size(picture: Annotated) -> tuple[int, int] | str:
    """What the edges are divided by, or why the picture cannot be used."""
    if not picture.picture.is_file():
        return f"its picture {picture.picture.name} is not there"
    if picture.pixels is None:
        return 1, 1
    try:
        height, width = picture_size(picture.picture)
    except UnreadablePicture as error:
        return str(error)
    if all(picture.pixels) and picture.pixels != (height, width):
        return f"{picture.origin} is for {picture.pixels[1]}x{picture.pixels[0]} pixels, the picture has {width}x{height}"
    return height, width


def _inside(edges: tuple[float, ...], size: tuple[int, int]) -> tuple[float, float, float, float] | str:
    """The part of a box that lies in the picture, in fractions, or what is wrong with it."""
    if not all(math.isfinite(edge) for edge in edges):
        return "is not four numbers"
    ymin, xmin, ymax, xmax = (edge / size[axis % 2] for axis, edge in enumerate(edges))
    if ymax <= ymin or xmax <= xmin:
        return "has no area"
    if ymax <= 0 or xmax <= 0 or ymin >= 1 or xmin >= 1:
        return "lies outside the picture"
    return max(0.0, ymin), max(0.0, xmin), min(1.0, ymax), min(1.0, xmax)


def _names(
    folder: Path, found: Mapping[SplitName, Sequence[Annotated]], classes: Sequence[str] | None, left_out: list[LeftOut]
) -> tuple[str, ...]:
    """The classes that there are boxes to learn from for."""
    seen = {
        split: {box.name for picture in pictures for box in picture.boxes if not box.ignored} for split, pictures in found.items()
    }
    learnt = seen.get("train", set())
    if not learnt:
        raise UserError(f"{folder} has no box to train on, in {len(found.get('train', ()))} pictures{first_of(left_out)}")
    for split, names in seen.items():
        if strange := sorted(names - learnt):
            raise UserError(f"{folder}: {split} has classes that train lacks ({', '.join(strange)}); give train boxes of them")
    left_out += [LeftOut(f"class {name}", "there is no box of it") for name in classes or () if name not in learnt]
    return tuple(name for name in dict.fromkeys(classes or sorted(learnt)) if name in learnt)


def _array(pictures: Sequence[Annotated], names: Sequence[str], most: int) -> Array:
    """Shapes: float32 [N, most, 6]; class -1 fills up."""
    number = {name: index for index, name in enumerate(names)}
    boxes = np.zeros((len(pictures), most, 6), np.float32)
    boxes[..., 4] = -1
    for row, picture in zip(boxes, pictures, strict=True):
        known = [box for box in picture.boxes if box.name in number]
        for place, box in enumerate(known):
            row[place] = (*box.edges, number[box.name], box.ignored)
    return boxes
