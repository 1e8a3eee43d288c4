"""What the rows of a data set of TensorFlow Datasets say of their pictures: a class, boxes or a mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from app.data.formats.masked import rarest, read_mask
from app.data.spec import VOID, Array, Pictures, SplitName
from app.images import UnreadablePicture
from models.spec import Objective

MASK, OBJECTS = "segmentation_mask", "objects"
CLASS_OF_BOX = ("label", "type")  # features of an object that may name its class
NOT_COUNTED = ("is_difficult", "is_crowd")
NEEDED: dict[Objective, str] = {
    "classification": "'image' and 'label' (a class)",
    "detection": f"'image' and '{OBJECTS}' with a box and a class each",
    "segmentation": f"'image' and '{MASK}'",
}
NUMBERS: dict[str, dict[int, str]] = {"oxford_iiit_pet": {1: "pet", 2: "background", 3: "void"}}  # what masks mean
ORDER: dict[str, tuple[str, ...]] = {"oxford_iiit_pet": ("background", "pet")}


def has(objective: Objective, features: Any) -> bool:
    """Whether a data set's features are those that an objective needs."""
    if not _is("Image", features, "image"):
        return False
    if objective == "detection":
        objects = _objects(features)
        return _is("BBoxFeature", objects, "bbox") and _class_of_box(objects) is not None
    return _is("Image", features, MASK) if objective == "segmentation" else _is("ClassLabel", features, "label")


def collect(objective: Objective, features: Any, rows: Any) -> Array:
    """Of every row its class, its boxes, or which numbers its mask has.

    Shapes: int64 [N]; float32 [N, M, 6], see `Split`; bool [N, 256].
    """
    if objective == "classification":
        return np.array([row["label"] for row in rows], np.int64)
    if objective == "segmentation":
        return np.array([_numbers_of(rows, index) for index in range(len(rows))], bool).reshape(-1, VOID + 1)
    objects = _objects(features)
    key = _class_of_box(objects)
    flags = [flag for flag in NOT_COUNTED if flag in objects]
    boxes = [_boxes(row[OBJECTS], key, flags) for row in rows]
    return _padded(boxes, max((len(each) for each in boxes), default=1))


def are_secret(labels: Array) -> bool:
    """Whether the annotations of a split are kept back: classes that are -1 in TFDS, no box or no mask at all."""
    if labels.ndim == 3:
        return not (labels[..., 4] >= 0).any()
    return not labels.any() if labels.dtype == bool else bool(labels.min(initial=0) < 0)


def number(
    objective: Objective, dataset: str, features: Any, found: Mapping[SplitName, Pictures]
) -> tuple[tuple[str, ...], dict[SplitName, Pictures]]:
    """The classes, and the splits with annotations that fit each other."""
    if objective == "detection":
        objects = _objects(features)
        most = max(pictures.labels.shape[1] for pictures in found.values())
        padded = {split: replace(pictures, labels=_padded(pictures.labels, most)) for split, pictures in found.items()}
        return tuple(objects[_class_of_box(objects)].names), padded
    if objective == "classification":
        return tuple(features["label"].names), dict(found)
    seen = np.flatnonzero(found["train"].labels.any(axis=0)).tolist()
    names = NUMBERS.get(dataset) or {each: str(each) for each in seen if each != VOID}
    classes = ORDER.get(dataset) or tuple(names.values())
    table = np.full(VOID + 1, VOID, np.uint8)
    for value, name in names.items():
        if name in classes:
            table[value] = classes.index(name)
    return classes, {split: _with_classes(pictures, table) for split, pictures in found.items()}


def read_mask_of(rows: Any, index: int) -> Array:
    """The numbers of a row's mask. Shapes: uint8 [H, W]."""
    return read_mask(bytes(rows[index][MASK]))


def _with_classes(pictures: Pictures, table: Array) -> Pictures:
    own = pictures.mask
    presence = np.zeros((len(pictures), VOID + 1), bool)
    for value in range(VOID + 1):
        presence[:, table[value]] |= pictures.labels[:, value]
    return replace(pictures, labels=rarest(presence), mask=None if own is None else lambda index: table[own(index)])


def _numbers_of(rows: Any, index: int) -> Array:
    try:
        return np.bincount(read_mask_of(rows, index).ravel(), minlength=VOID + 1) > 0
    except UnreadablePicture:  # is told when the picture is decoded
        return np.zeros(VOID + 1, bool)


def _boxes(objects: Any, key: str | None, flags: list[str]) -> Array:
    """Shapes: float32 [M, 6]."""
    edges = np.asarray(objects["bbox"], np.float32).reshape(-1, 4)
    boxes = np.zeros((len(edges), 6), np.float32)
    boxes[:, :4] = edges.clip(0, 1)
    boxes[:, 4] = objects[key]
    boxes[:, 5] = np.any([objects[flag] for flag in flags], axis=0) if flags else 0
    boxes[(edges[:, 2:] <= edges[:, :2]).any(axis=1), 5] = 1  # a box without area cannot be found
    return boxes


def _padded(boxes: Any, most: int) -> Array:
    """Shapes: any [N, m, 6] -> float32 [N, most, 6]; class -1 fills up."""
    padded = np.zeros((len(boxes), max(1, most), 6), np.float32)
    padded[..., 4] = -1
    for row, own in zip(padded, boxes, strict=True):
        row[: len(own)] = own
    return padded


def _objects(features: Any) -> Any:
    """The features of an object, or nothing."""
    import tensorflow_datasets as tfds

    there = isinstance(features, tfds.features.FeaturesDict) and OBJECTS in features
    sequence = features[OBJECTS] if there else None
    return sequence.feature if isinstance(sequence, tfds.features.Sequence) else {}


def _class_of_box(objects: Any) -> str | None:
    return next((name for name in CLASS_OF_BOX if _is("ClassLabel", objects, name)), None)


def _is(kind: str, features: Any, name: str) -> bool:
    import tensorflow_datasets as tfds

    there = isinstance(features, tfds.features.FeaturesDict | dict) and name in features
    return there and isinstance(features[name], getattr(tfds.features, kind))
