"""How good masks are: one confusion of pixels, summed picture by picture, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.images import resize_mask

Array = np.ndarray[Any, Any]
Outputs = dict[str, Array]

VOID = 255  # of labels: pixels that nobody is asked about
BACKGROUND = "background"  # the class that figures of the foreground leave out


def measure(outputs: Outputs, labels: Array, classes: Sequence[str]) -> dict[str, Any]:
    """Mean IoU, that of the foreground, shares of right pixels, and the figures of each class.

    The means of IoU are over the classes that stand in the truth or in the answers, `class_accuracy` is over those in the
    truth. A class in neither has the IoU null. Masks of another size than the labels are stretched to theirs first.

    Shapes: masks [N, h, w, classes], or [N, h, w] of their likeliest classes; labels uint8 [N, H, W], 255 where void.
    """
    counts = confusion(outputs["masks"], labels, len(classes))
    right, truth, answers = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    iou = _ratio(right, truth + answers - right)
    precision, recall = _ratio(right, answers), _ratio(right, truth)
    present = truth + answers > 0
    foreground = present & (np.asarray(classes) != BACKGROUND)
    return {
        "miou": _mean(iou[present]),
        "foreground_miou": _mean(iou[foreground]),
        "accuracy": round(float(right.sum() / max(1, counts.sum())), 6),
        "class_accuracy": _mean(recall[truth > 0]),
        "pictures": len(labels),
        "classes": {
            name: {
                "iou": round(float(iou[c]), 6) if present[c] else None,
                "precision": round(float(precision[c]), 6),
                "recall": round(float(recall[c]), 6),
                "pixels": int(truth[c]),
            }
            for c, name in enumerate(classes)
        },
        "confusion": counts.tolist(),
    }


def confusion(masks: Array, labels: Array, classes: int) -> Array:
    """How many pixels of class i (row) were taken for class j (column), void ones left out.

    Shapes: [N, h, w, classes] or [N, h, w], uint8 [N, H, W] -> int [classes, classes].
    """
    counts = np.zeros(classes * classes, np.int64)
    for mask, truth in zip(masks, labels, strict=True):
        answer = _numbers(stretch(mask, truth.shape[0], truth.shape[1]))
        asked = truth != VOID
        counts += np.bincount(truth[asked].astype(np.int64) * classes + answer[asked], minlength=classes * classes)
    return counts.reshape(classes, classes)


def threshold(outputs: Outputs, labels: Array) -> dict[str, Any]:  # noqa: ARG001
    """Nothing: every pixel has a likeliest class."""
    return {}


def agreement(ours: Outputs, theirs: Outputs) -> float:
    """Share of pixels for which two sets of masks have the same likeliest class.

    Shapes: masks [N, H, W, classes], or [N, H, W] of their likeliest classes.
    """
    pairs = zip(ours["masks"], theirs["masks"], strict=True)
    return _mean(np.array([(_numbers(first) == _numbers(second)).mean() for first, second in pairs]))


def likeliest(outputs: Outputs) -> Outputs:
    """Outputs that keep the likeliest class of every pixel alone, which is all that is measured at the masks' own size.

    Shapes: masks [N, H, W, classes] -> uint8 [N, H, W].
    """
    return {"masks": outputs["masks"].argmax(axis=3).astype(np.uint8)}


def stretch(mask: Array, height: int, width: int) -> Array:
    """A mask at another size: probabilities by bilinear interpolation, numbers of classes by the nearest.

    Shapes: [h, w, C] -> [height, width, C], or [h, w] -> [height, width].
    """
    if mask.ndim == 2:
        return resize_mask(mask.astype(np.uint8), height, width)
    for axis, size in enumerate((height, width)):
        if (old := mask.shape[axis]) != size:
            places = ((np.arange(size) + 0.5) * old / size - 0.5).clip(0, old - 1)
            before = places.astype(int)
            share = (places - before).astype(mask.dtype).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
            after = mask.take(np.minimum(before + 1, old - 1), axis)
            mask = mask.take(before, axis) * (1 - share) + after * share
    return mask


def _numbers(mask: Array) -> Array:
    """Of the classes, [H, W]."""
    return mask.argmax(axis=2) if mask.ndim == 3 else mask.astype(np.int64)


def _mean(values: Array) -> float:
    return round(float(values.mean()), 6) if len(values) else 0.0


def _ratio(top: Array, bottom: Array) -> Array:
    ratio: Array = np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 0)
    return ratio
