"""Pictures with a mask of class numbers, whatever it came from: checked, numbered, and made the source of a segmentation."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from app.data.files import digest, picture_size, shown
from app.data.spec import VOID, Array, LeftOut, Pictures, Source, SplitName, first_of
from app.data.splits import complete
from app.errors import UserError
from app.images import FORMATS, UnreadablePicture

FOREGROUND_ADVICE = "; where 255 is a class, say so in classes.txt: lines 0 background and 255 name"


@dataclass(frozen=True)
class Masked:
    """A picture and the way to its mask.

    Args:
        mask: gives class numbers uint8 [H, W] of the picture's size, or raises UnreadablePicture.
        origin: what a message calls the mask.
    """

    picture: Path
    mask: Callable[[], Array]
    origin: str


def read_mask(file: Path | bytes) -> Array:
    """The numbers of a mask, a file of a grey picture or of one with a palette, or its bytes. Shapes: uint8 [H, W].

    Raises:
        UnreadablePicture: it is damaged, coloured, a JPEG, or has numbers above 255.
    """
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=FORMATS) as image:
            form, pixels = image.format, np.asarray(image)
    except Exception:  # Pillow's readers raise nearly anything on damaged bytes
        raise UnreadablePicture("the mask cannot be read") from None
    if form == "JPEG":
        raise UnreadablePicture("a mask saved as JPEG, which changes its numbers; save it as PNG")
    if pixels.ndim == 3:
        if (pixels[..., :1] != pixels[..., :3]).any():
            raise UnreadablePicture("a coloured mask; a mask has class numbers, grey or with a palette")
        pixels = pixels[..., 0]
    if pixels.max(initial=0) > VOID or pixels.min(initial=0) < 0:
        raise UnreadablePicture(f"the mask has the number {pixels.max()}; class numbers end at {VOID}")
    return pixels.astype(np.uint8)


def make_source(
    folder: Path,
    found: Mapping[SplitName, Sequence[Masked]],
    names: Mapping[int, str] | None,
    left_out: list[LeftOut],
    split_seed: int,
) -> Source:
    """The source of a segmentation; splits that are lacking are drawn from train.

    Args:
        names: the class of each number, `void` for what is none; None: the numbers that train has. 255 is void if not named.
        left_out: grows by every picture that cannot be used.
    Raises:
        UserError: train has less than two classes, or another split has classes that train lacks.
    """
    known = {VOID: "void", **({number: str(number) for number in range(VOID)} if names is None else names)}
    sound: dict[SplitName, list[tuple[Masked, Array, str]]] = {}
    for split, pictures in found.items():
        sound[split] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for picture, facts in zip(pictures, pool.map(lambda each: _examined(each, known), pictures), strict=True):
                if isinstance(facts, str):
                    left_out.append(LeftOut(picture.origin, facts))
                else:
                    sound[split].append((picture, *facts))
    classes = _classes(folder, sound, known, names is not None, left_out)
    table = np.full(VOID + 1, VOID, np.uint8)
    for number, name in known.items():
        if name in classes:
            table[number] = classes.index(name)
    facts_of = {
        split: [(shown(picture.picture, folder), identity) for picture, _, identity in those] for split, those in sound.items()
    }
    splits = {
        split: _pictures([(picture, there) for picture, there, _ in those], table, folder) for split, those in sound.items()
    }
    identity = json.dumps([facts_of, classes, table.tolist(), split_seed])
    return Source(
        name=folder.resolve().name,
        classes=classes,
        splits=complete(splits, split_seed),
        channels=3,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
        left_out=tuple(left_out),
        objective="segmentation",
    )


def _examined(picture: Masked, known: Mapping[int, str]) -> tuple[Array, str] | str:
    """The numbers that a mask has and what tells picture and mask from others, or why they cannot be used."""
    if not picture.picture.is_file():
        return f"its picture {picture.picture.name} is not there"
    try:
        height, width = picture_size(picture.picture)
        mask = picture.mask()
    except UnreadablePicture as error:
        return str(error)
    if mask.shape != (height, width):
        return f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels, its picture {width}x{height}"
    there = np.flatnonzero(np.bincount(mask.ravel(), minlength=VOID + 1))
    if strange := [number for number in there.tolist() if number not in known]:
        told = ", ".join(str(number) for number in known if number != VOID)
        return f"the mask has the number{'s' if strange[1:] else ''} {', '.join(map(str, strange))}; the classes are {told}"
    return there, digest(picture.picture) + hashlib.sha256(mask.tobytes()).hexdigest()


def _classes(
    folder: Path,
    found: Mapping[SplitName, Sequence[tuple[Masked, Array, str]]],
    known: Mapping[int, str],
    named: bool,
    left_out: list[LeftOut],
) -> tuple[str, ...]:
    """The classes that there are pixels to learn from for."""
    seen = {
        split: {number for _, there, _ in those for number in there.tolist() if known[number] != "void"}
        for split, those in found.items()
    }
    learnt = seen.get("train", set())
    if len(learnt) < 2:
        there = ", ".join(known[number] for number in sorted(learnt)) or "no class"
        void = any(VOID in numbers for _, numbers, _ in found.get("train", ()))
        advice = FOREGROUND_ADVICE if void and known[VOID] == "void" else ""
        told = f"{folder} has {there} in {len(found.get('train', ()))} masks to train on"
        raise UserError(f"{told}; at least 2 classes are needed{advice}{first_of(left_out)}")
    for split, numbers in seen.items():
        if strange := [known[number] for number in sorted(numbers - learnt)]:
            raise UserError(f"{folder}: {split} has classes that train lacks ({', '.join(strange)}); give train masks with them")
    if named:
        unseen = [name for number, name in known.items() if number not in learnt and name != "void"]
        left_out += [LeftOut(f"class {name}", "no mask has it") for name in unseen]
    return tuple(known[number] for number in sorted(learnt))


def _pictures(those: list[tuple[Masked, Array]], table: Array, folder: Path) -> Pictures:
    """The pictures of a split, with masks of numbers of classes."""
    pictures = [picture for picture, _ in those]
    presence = np.zeros((len(those), VOID + 1), bool)
    for row, (_, there) in zip(presence, those, strict=True):
        row[table[there]] = True

    def mask(index: int) -> Array:
        numbers: Array = table[pictures[index].mask()]
        return numbers

    names = [shown(each.picture, folder) for each in pictures]
    return Pictures(lambda index: pictures[index].picture, rarest(presence), names, mask)


def rarest(presence: Array) -> Array:
    """For each picture the one of its classes that fewest pictures have, to draw it by; -1 if it has none.

    Shapes: bool [N, 256], the last of which is void -> int64 [N].
    """
    there = presence[:, :VOID]
    counts = np.where(there, there.sum(axis=0), len(there) + 1)
    return np.where(there.any(axis=1), counts.argmin(axis=1), -1)
