"""What the stages of data say to each other: a source of pictures, and the decoded data set it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from app.metrics.segmentation import VOID as VOID  # the class of pixels that are neither learnt nor counted
from models.spec import Objective

Array = np.ndarray[Any, Any]
SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class LeftOut:
    """Something in the user's data that is not trained on, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def first_of(left_out: Sequence[LeftOut]) -> str:
    """How many things were left out and the first of them, for the end of a message; empty if nothing was."""
    return f" ({len(left_out)} left out, the first: {left_out[0]})" if left_out else ""


@dataclass(frozen=True)
class Pictures:
    """One split before decoding.

    Args:
        read: index to a file, the bytes of one, or pixels uint8 [H, W, C].
        labels: classes int64 [N], or boxes float32 [N, M, 6] (see `Split`); where there are masks, anything of length N.
        names: what a message calls each picture.
        mask: index to class numbers uint8 [H, W] of each pixel, at the picture's own size.
    """

    read: Callable[[int], Path | bytes | Array]
    labels: Array
    names: Sequence[str]
    mask: Callable[[int], Array] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Array) -> Pictures:
        """Some of the pictures, in the given order."""
        own = self.mask
        mask = None if own is None else lambda i: own(int(indices[i]))
        return Pictures(lambda i: self.read(int(indices[i])), self.labels[indices], [self.names[i] for i in indices], mask)


@dataclass(frozen=True)
class Source:
    """A data set before decoding.

    Args:
        size: height and width that all pictures share, or None.
        channels: 1 for grey pictures, 3 for colour.
        fingerprint: changes when pictures, labels or splits change.
        objective: the kind of annotation: a class, boxes or a mask for every picture.
        compose: composed pictures draw themselves for a canvas of that height and width, rather than being stretched to it.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[SplitName, Pictures]
    channels: int
    fingerprint: str
    size: tuple[int, int] | None = None
    left_out: tuple[LeftOut, ...] = ()
    objective: Objective = "classification"
    compose: Callable[[int, int], Source] | None = None


@dataclass(frozen=True)
class Split:
    """Decoded pictures of one split, and an annotation for each.

    Args:
        images: uint8 [N, H, W, C]; a memory map, for sets that were cached.
        labels: classification: int64 [N], the class. Detection: float32 [N, M, 6], boxes of ymin, xmin, ymax, xmax as
            fractions of the picture, class, and 1 where a box is neither learnt nor counted; class -1 fills up.
            Segmentation: uint8 [N, H, W], the class of every pixel, 255 where it is not known.
    """

    images: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """What is trained on: three splits of one shape."""

    name: str
    classes: tuple[str, ...]
    fingerprint: str
    train: Split
    val: Split
    test: Split
    left_out: tuple[LeftOut, ...] = ()
    in_two_splits: Mapping[str, int] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    def record(self) -> dict[str, Any]:
        """What a run's config.json keeps of the data."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "splits": {name: len(getattr(self, name)) for name in SPLITS},
            "left_out": [{"path": item.path, "reason": item.reason} for item in self.left_out],
            "in_two_splits": dict(self.in_two_splits),
        }


@dataclass(frozen=True)
class DataSpec:
    """A data set of the catalogue: facts for the table, and how to get at it.

    Args:
        open: `open(split_seed, objective) -> Source`.
        pictures: train + test, as published.
        verified: whether it was run here, or only its loading code on a fabricated set.
    """

    name: str
    title: str
    classes: int
    pictures: str
    size: str
    download: str
    source: str
    open: Callable[[int, Objective], Source]
    verified: bool = False
    objectives: tuple[Objective, ...] = ("classification",)
