"""Boxes as what each anchor of YOLOv5 is to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from app.data.spec import Array

RATIO = 4.0  # an anchor is to find boxes whose sides are less than so many times its own, or its own theirs
BALANCE = {8: 4.0, 16: 1.0, 32: 0.4}  # how much the objectness of a stride weighs: fine maps are nearly all empty
NOTHING, IGNORED = -1, -2


def encoder(network: Any, classes: int) -> Callable[[Array], Array]:  # noqa: ARG001 - every encoder is asked this way
    """Targets for each prediction of a network that ends in `AnchorPredictions`.

    A box belongs to every anchor of less than four times its sides or a quarter, at the cell of its centre and the two
    nearest to it, at all strides. Where two boxes meet, the one whose sides are nearer to the anchor's is taken.
    Anchors whose cell's centre lies in an ignored box are told nothing, unless they have a box of their own.

    Shapes: [B, M, 6] -> float32 [B, P, 7]: centre x, centre y, width and height in pixels; class, or -1 for nothing there, or
        -2 for ignored; the weight of objectness, whose mean over the predictions of a stride is its balance; the weight of box
        and class, which sums up to B for each stride over the boxes of the batch.
    Source: the matching of YOLOv5, release 6.0, which has no paper; balance and ratio are its settings.
    """
    layer = network.get_layer("predictions")
    corner, step, _ = layer.grid(layer.map_sizes())
    height, width = layer.size
    step = step[:, 0]
    weight = np.zeros(len(step), np.float32)
    offsets, shapes = [], layer.map_sizes()
    for stride in layer.strides:
        here = step == stride
        offsets.append(int(np.argmax(here)))
        weight[here] = BALANCE.get(stride, 1.0) / here.sum()
    middle = corner + step[:, None] / 2

    def encode(boxes: Array) -> Array:
        targets = np.zeros((len(boxes), len(step), 7), np.float32)
        targets[:, :, 4], targets[:, :, 5] = NOTHING, weight
        real = (boxes[:, :, 4] >= 0) & (boxes[:, :, 2] > boxes[:, :, 0]) & (boxes[:, :, 3] > boxes[:, :, 1])
        for picture, row in np.argwhere(real & (boxes[:, :, 5] > 0)):
            ymin, xmin, ymax, xmax = boxes[picture, row, :4] * (height, width, height, width)
            inside = (middle >= (xmin, ymin)).all(axis=1) & (middle <= (xmax, ymax)).all(axis=1)
            targets[picture, inside, 4], targets[picture, inside, 5] = IGNORED, 0
        picture, row = np.nonzero(real & (boxes[:, :, 5] == 0))
        ymin, xmin, ymax, xmax, label = boxes[picture, row, :5].T
        sides = np.stack([(xmax - xmin) * width, (ymax - ymin) * height], axis=-1)
        centres = np.stack([(xmax + xmin) / 2 * width, (ymax + ymin) / 2 * height], axis=-1)
        for stride, offset, shape, anchors in zip(layer.strides, offsets, shapes, layer.anchors, strict=True):
            ratio = sides[:, None] / np.array(anchors, np.float32)
            ratio = np.maximum(ratio, 1 / ratio).max(axis=-1)  # [boxes, anchors]
            cell, inside = _cells(centres / stride, shape)  # [boxes, 3, 2], [boxes, 3]
            box, near, which = np.nonzero(inside[:, :, None] & (ratio < RATIO)[:, None, :])
            if not len(box):
                continue
            x, y = cell[box, near].T
            place = offset + (y * shape[1] + x) * len(anchors) + which
            order = np.argsort(ratio[box, which], kind="stable")
            taken, first = np.unique((picture[box] * len(step) + place)[order], return_index=True)
            box = box[order][first]
            found = np.column_stack([centres[box], sides[box], label[box]])
            of, place = np.divmod(taken, len(step))
            targets[of, place, :5] = found
            targets[of, place, 5] = weight[place]
            targets[of, place, 6] = len(boxes) / len(taken)
        return targets

    return encode


def _cells(centres: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
    """The cell of each centre, its nearest neighbour to the side and the one above or below; whether they are on the map.

    Shapes: float [N, 2] in cells -> int [N, 3, 2], bool [N, 3].
    """
    limit = np.array(shape[::-1]) - 1
    own = np.clip(np.floor(centres).astype(int), 0, limit)
    towards = np.where(centres - own < 0.5, -1, 1)
    cells = np.stack([own, own + towards * (1, 0), own + towards * (0, 1)], axis=1)
    inside: Array = np.all((cells >= 0) & (cells <= limit), axis=-1)
    return cells, inside
