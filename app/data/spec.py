"""What the stages of data say to each other: a source of pictures, and the decoded data set it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

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
        labels: int64 [N].
        names: what a message calls each picture.
    """

    read: Callable[[int], Path | bytes | Array]
    labels: Array
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Array) -> Pictures:
        """Some of the pictures, in the given order."""
        return Pictures(lambda i: self.read(int(indices[i])), self.labels[indices], [self.names[i] for i in indices])


@dataclass(frozen=True)
class Source:
    """A data set before decoding.

    Args:
        size: height and width that all pictures share, or None.
        channels: 1 for grey pictures, 3 for colour.
        fingerprint: changes when pictures, labels or splits change.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[SplitName, Pictures]
    channels: int
    fingerprint: str
    size: tuple[int, int] | None = None
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Split:
    """Decoded pictures of one split: images uint8 [N, H, W, C] (a memory map, for sets that were cached), labels int64 [N]."""

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
        open: `open(split_seed) -> Source`.
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
    open: Callable[[int], Source]
    verified: bool = False
