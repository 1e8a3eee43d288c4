"""Source -> data set: every picture decoded once, at the network's size, and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from app.data.cache import cache_folder, cached
from app.data.duplicates import count_in_two_splits
from app.data.spec import SPLITS, Array, Dataset, LeftOut, Pictures, Source, Split, SplitName, first_of
from app.data.splits import presence
from app.errors import UserError
from app.images import UnreadablePicture, load_picture, resize, resize_mask, with_channels
from app.progress import Countdown
from app.runs import check_space

BLOCK = 256  # pictures decoded ahead of what is written
NOTHING = np.zeros(0, np.int64)
VERSION = 3  # of what this module makes of a source; a change makes older cache entries unused


def decode(source: Source, height: int, width: int, say: Callable[[str], None], needed: Sequence[SplitName] = SPLITS) -> Dataset:
    """The pictures at one size, and what had to be left out.

    Args:
        needed: the other splits stay empty.
    Raises:
        UserError: a split has no readable picture, or a class none to train on.
    """
    shape = (height, width, source.channels)
    if tuple(needed) != SPLITS:
        kept = {name: pictures if name in needed else pictures.take(NOTHING) for name, pictures in source.splits.items()}
        source = replace(source, splits=kept, fingerprint=f"{source.fingerprint}-{'-'.join(needed)}")
    key = hashlib.sha256(json.dumps([VERSION, source.fingerprint, source.objective, shape]).encode()).hexdigest()[:16]
    place = cached(
        f"{_safe(source.name)}-{height}x{width}x{source.channels}-{key}", lambda folder: _fill(folder, source, shape, say)
    )
    facts = json.loads((place / "facts.json").read_text())
    splits = {
        name: Split(*(np.load(place / f"{name}_{part}.npy", mmap_mode="r") for part in ("images", "labels"))) for name in SPLITS
    }
    left_out = source.left_out + tuple(LeftOut(*item) for item in facts["left_out"])
    for name in needed:
        if not len(splits[name]):
            raise UserError(f"{source.name} has no picture for {name}; give it more pictures{first_of(left_out)}")
    seen = presence(splits["train"].labels).any(axis=0) if "train" in needed else np.ones(len(source.classes), bool)
    if missing := sorted(set(range(len(source.classes))) - set(np.flatnonzero(seen))):
        names = ", ".join(source.classes[c] for c in missing)
        raise UserError(f"{source.name} has no readable picture to train on for {names}; add some{first_of(left_out)}")
    return Dataset(
        source.name, source.classes, source.fingerprint, **splits, left_out=left_out, in_two_splits=facts["in_two_splits"]
    )


def _fill(folder: Path, source: Source, shape: tuple[int, int, int], say: Callable[[str], None]) -> None:
    total = sum(len(pictures) for pictures in source.splits.values())
    layers = shape[2] + any(pictures.mask is not None for pictures in source.splits.values())
    check_space(cache_folder(), total * shape[0] * shape[1] * layers)
    say(f"reading {total:,} pictures of {source.name} at {shape[1]}x{shape[0]}, once; later trainings find them in the cache")
    left_out: list[LeftOut] = []
    images: dict[str, Array] = {}
    countdown = Countdown(total, "pictures read", say)
    for name in SPLITS:
        images[name] = _decode_split(folder, name, source.splits[name], shape, left_out, countdown)
    in_two_splits = count_in_two_splits(images)
    facts = {"left_out": [(item.path, item.reason) for item in left_out], "in_two_splits": in_two_splits}
    (folder / "facts.json").write_text(json.dumps(facts))


def _decode_split(
    folder: Path, name: str, pictures: Pictures, shape: tuple[int, int, int], left_out: list[LeftOut], countdown: Countdown
) -> Array:
    """The decoded pictures of a split, written as they come so that memory stays small."""

    def one(index: int) -> tuple[Array, ...] | LeftOut:
        try:
            pixels = _pixels(pictures.read(index), shape)
            return (pixels,) if pictures.mask is None else (pixels, resize_mask(pictures.mask(index), *shape[:2]))
        except UnreadablePicture as error:
            return LeftOut(pictures.names[index], str(error))

    good = np.zeros(len(pictures), bool)
    with ExitStack() as opened:
        pool = opened.enter_context(ThreadPoolExecutor(os.cpu_count()))
        shapes = {"images": shape} if pictures.mask is None else {"images": shape, "labels": shape[:2]}
        files = {part: opened.enter_context((folder / f"{name}_{part}.npy").open("wb")) for part in shapes}
        for part, file in files.items():
            _write_header(file, (len(good), *shapes[part]))
        for start in range(0, len(good), BLOCK):
            for index, picture in enumerate(pool.map(one, range(start, min(start + BLOCK, len(good)))), start):
                if isinstance(picture, LeftOut):
                    left_out.append(picture)
                    continue
                good[index] = True
                for file, values in zip(files.values(), picture, strict=True):
                    file.write(values.tobytes())
            countdown.add(min(BLOCK, len(good) - start))
        for part, file in files.items():
            file.seek(0)
            _write_header(file, (int(good.sum()), *shapes[part]))
    if pictures.mask is None:
        np.save(folder / f"{name}_labels.npy", pictures.labels[good])
    images: Array = np.load(folder / f"{name}_images.npy", mmap_mode="r")
    return images


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The head of a .npy of bytes. It has the same length for any number of pictures: numpy leaves room for an array to grow."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _pixels(picture: Path | bytes | Array, shape: tuple[int, int, int]) -> Array:
    if isinstance(picture, np.ndarray):
        return with_channels(resize(picture, shape[0], shape[1]), shape[2])
    return load_picture(picture, shape)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name)[:40]
