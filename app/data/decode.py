"""Source -> data set: every picture decoded once, at the network's size, and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from app.data.cache import cached
from app.data.duplicates import count_in_two_splits
from app.data.spec import SPLITS, Array, Dataset, LeftOut, Pictures, Source, Split
from app.errors import UserError
from app.images import UnreadablePicture, load_picture, resize, with_channels

VERSION = 1  # of what this module makes of a source; a change makes older cache entries unused


def decode(source: Source, height: int, width: int, say: Callable[[str], None]) -> Dataset:
    """The pictures at one size, and what had to be left out.

    Raises:
        UserError: a split has no readable picture, or a class none to train on.
    """
    shape = (height, width, source.channels)
    key = hashlib.sha256(json.dumps([VERSION, source.fingerprint, shape]).encode()).hexdigest()[:16]
    place = cached(
        f"{_safe(source.name)}-{height}x{width}x{source.channels}-{key}", lambda folder: _fill(folder, source, shape, say)
    )
    facts = json.loads((place / "facts.json").read_text())
    splits = {
        name: Split(np.load(place / f"{name}_images.npy", mmap_mode="r"), np.load(place / f"{name}_labels.npy"))
        for name in SPLITS
    }
    left_out = source.left_out + tuple(LeftOut(*item) for item in facts["left_out"])
    for name, split in splits.items():
        if not len(split):
            raise UserError(f"{source.name} has no picture for {name}; give it more pictures{_first(left_out)}")
    if missing := sorted(set(range(len(source.classes))) - set(np.unique(splits["train"].labels))):
        names = ", ".join(source.classes[c] for c in missing)
        raise UserError(f"{source.name} has no readable picture to train on for {names}; add some{_first(left_out)}")
    return Dataset(
        source.name, source.classes, source.fingerprint, **splits, left_out=left_out, in_two_splits=facts["in_two_splits"]
    )


def _fill(folder: Path, source: Source, shape: tuple[int, int, int], say: Callable[[str], None]) -> None:
    total = sum(len(pictures) for pictures in source.splits.values())
    say(f"reading {total:,} pictures of {source.name} at {shape[1]}x{shape[0]}, once; later trainings find them in the cache")
    left_out: list[LeftOut] = []
    images: dict[str, Array] = {}
    for name in SPLITS:
        images[name] = _decode_split(folder, name, source.splits[name], shape, left_out)
    in_two_splits = count_in_two_splits(images)
    facts = {"left_out": [(item.path, item.reason) for item in left_out], "in_two_splits": in_two_splits}
    (folder / "facts.json").write_text(json.dumps(facts))


def _decode_split(folder: Path, name: str, pictures: Pictures, shape: tuple[int, int, int], left_out: list[LeftOut]) -> Array:
    """The decoded pictures of a split, written as they come so that memory stays small."""
    images = np.lib.format.open_memmap(folder / f"{name}_all.npy", "w+", np.uint8, (len(pictures), *shape))

    def one(index: int) -> str:
        try:
            images[index] = _pixels(pictures.read(index), shape)
        except UnreadablePicture as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = list(pool.map(one, range(len(pictures)), chunksize=64))
    good = np.array([not reason for reason in reasons], bool)
    left_out += [LeftOut(pictures.names[i], reason) for i, reason in enumerate(reasons) if reason]
    images.flush()
    np.save(folder / f"{name}_labels.npy", pictures.labels[good])
    if good.all():
        (folder / f"{name}_all.npy").rename(folder / f"{name}_images.npy")
    else:
        np.save(folder / f"{name}_images.npy", images[good])
        (folder / f"{name}_all.npy").unlink()
    return np.load(folder / f"{name}_images.npy", mmap_mode="r") if good.any() else images[:0]


def _pixels(picture: Path | bytes | Array, shape: tuple[int, int, int]) -> Array:
    if isinstance(picture, np.ndarray):
        return with_channels(resize(picture, shape[0], shape[1]), shape[2])
    return load_picture(picture, shape)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name)[:40]


def _first(left_out: tuple[LeftOut, ...]) -> str:
    return f" ({len(left_out)} left out, the first: {left_out[0]})" if left_out else ""
