"""Finished outputs -> what a person is told. numpy only: whatever a network's outputs need is in its graph already."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Outputs = dict[str, np.ndarray[Any, Any]]
LABELS = 5  # of an answer of classes, unless another number is asked for

# `to_json` is written by hand: `dataclasses.asdict` takes longer than all else that a service does for an answer.


@dataclass(frozen=True)
class Label:
    """A class and how sure the network is of it, 0..1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What a network says of one picture, the likeliest class first.

    Args:
        none_of_these: the likeliest is below the probability from which the network is believed.
    """

    labels: tuple[Label, ...]
    none_of_these: bool = False

    def to_json(self) -> dict[str, Any]:
        """`{"labels": [{"label": ..., "probability": ...}], "none_of_these": ...}`"""
        labels = [{"label": one.label, "probability": one.probability} for one in self.labels]
        return {"labels": labels, "none_of_these": self.none_of_these}


@dataclass(frozen=True)
class Box:
    """Where something is, in fractions of the picture, what it is, and how sure the network is of it, 0..1.

    Args:
        number: of the class.
    """

    label: str
    number: int
    score: float
    ymin: float
    xmin: float
    ymax: float
    xmax: float


@dataclass(frozen=True)
class Boxes:
    """What a network finds in one picture, the surest first."""

    boxes: tuple[Box, ...]

    def to_json(self) -> dict[str, Any]:
        """`{"boxes": [{"label": ..., "score": ..., "box": [ymin, xmin, ymax, xmax]}]}`"""
        return {
            "boxes": [
                {"label": one.label, "score": one.score, "box": [one.ymin, one.xmin, one.ymax, one.xmax]} for one in self.boxes
            ]
        }


@dataclass(frozen=True)
class Share:
    """A class and the share of a picture's pixels that is taken for it, 0..1.

    Args:
        number: of the class.
    """

    label: str
    number: int
    share: float


@dataclass(frozen=True, eq=False)
class Mask:
    """What every pixel of one picture is taken for, and the classes by their shares, the largest first.

    Shapes: uint8 [H, W] of numbers of classes, at the network's size.
    """

    pixels: np.ndarray[Any, Any]
    classes: Sequence[str]
    shares: tuple[Share, ...]

    def png(self) -> bytes:
        """A grey PNG whose values are the numbers of the classes."""
        from PIL import Image

        written = io.BytesIO()
        Image.fromarray(self.pixels).save(written, "PNG", compress_level=1)
        return written.getvalue()

    def to_json(self) -> dict[str, Any]:
        """`{"mask": {"width", "height", "classes": [{"label", "share"}], "png": base64 of a PNG of class numbers}}`"""
        height, width = self.pixels.shape
        classes = [{"label": one.label, "share": one.share} for one in self.shares]
        return {"mask": {"width": width, "height": height, "classes": classes, "png": base64.b64encode(self.png()).decode()}}


AnyAnswer = Answer | Boxes | Mask


def classification(outputs: Outputs, classes: Sequence[str], top: int | None = None, threshold: float = 0.0) -> list[Answer]:
    """The `top` likeliest classes of every picture, 5 unless told otherwise.

    Args:
        threshold: probability below which a picture is none of them.
    Shapes: probabilities [N, classes] -> N answers.
    """
    probabilities = outputs["probabilities"]
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : top or LABELS]
    return [
        Answer(tuple(Label(classes[c], round(float(row[c]), 6)) for c in best), bool(row[best[0]] < threshold))
        for row, best in zip(probabilities, order, strict=True)
    ]


def detection(outputs: Outputs, classes: Sequence[str], top: int | None = None, threshold: float = 0.0) -> list[Boxes]:
    """The boxes of every picture, the `top` surest of them if that is asked for.

    Args:
        threshold: score below which a box is not told.
    Shapes: boxes [N, P, 4], classes, scores [N, P], count [N] -> N answers.
    Boxes: ymin, xmin, ymax, xmax, fractions of the picture.
    """
    found = []
    for boxes, numbers, scores, count in zip(*(outputs[name] for name in ("boxes", "classes", "scores", "count")), strict=True):
        end = int(count)
        order = np.argsort(-scores[:end], kind="stable")
        order = order[scores[order] >= threshold][:top]
        places, kinds = boxes[order].astype(float).round(6).tolist(), numbers[order].astype(int).tolist()
        sure = scores[order].astype(float).round(6).tolist()
        found.append(Boxes(tuple(Box(classes[c], c, score, *box) for c, score, box in zip(kinds, sure, places, strict=True))))
    return found


def segmentation(outputs: Outputs, classes: Sequence[str], top: int | None = None, threshold: float = 0.0) -> list[Mask]:  # noqa: ARG001
    """The likeliest class of every pixel of every picture, and the shares of the classes, the `top` largest if that is asked for.

    Args:
        threshold: not used; every pixel has a likeliest class.
    Shapes: masks [N, H, W, classes] -> N answers.
    """
    found = []
    for mask in outputs["masks"]:
        pixels = mask.argmax(axis=2).astype(np.uint8)
        counts = np.bincount(pixels.ravel(), minlength=len(classes))
        order = [c for c in np.argsort(-counts, kind="stable").tolist() if counts[c]][:top]
        shares = tuple(Share(classes[c], c, round(float(counts[c] / pixels.size), 6)) for c in order)
        found.append(Mask(pixels, classes, shares))
    return found
