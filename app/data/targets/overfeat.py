"""Boxes as what each window of OverFeat is to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from app.data.spec import Array
from app.metrics.detection import overlaps

FILL = 0.8  # of a window's side: the longer side of the box that it is for
HOLDS, EMPTY = 0.5, 0.3  # IoU of a window and the one that would fit a box: at least, for the box to be told; below, for none
NOT_LEARNT = -1


def encoder(network: Any, classes: int) -> Callable[[Array], Array]:
    """Targets for each window of a network that ends in `WindowPredictions`.

    The window that would fit a box is the square around its middle of which the box's longer side fills four fifths. The
    windows that share enough with it are told box and class, and the nearest one always; those that share little are
    background; what lies between is told nothing, as are windows near an ignored box.

    Shapes: [B, M, 6] -> float32 [B, P, 6]: ymin, xmin, ymax, xmax in pixels; class, the number of classes for
        background, -1 where it is not learnt; the window's side in pixels, which is what the error of a box is measured in.
    Source: Sermanet et al. 2014, section 4.3, which measures by the box itself; narrow boxes would have no square window.
    """
    layer = network.get_layer("predictions")
    windows = layer.windows()
    height, width = layer.size
    side = np.sqrt(np.prod(windows[:, 2:] - windows[:, :2], axis=1))

    def encode(boxes: Array) -> Array:
        pixels = boxes[:, :, :4] * np.array([height, width, height, width], np.float32)
        real = (boxes[:, :, 4] >= 0) & (pixels[:, :, 2:] > pixels[:, :, :2]).all(axis=2)
        learnt, ignored = real & (boxes[:, :, 5] == 0), real & (boxes[:, :, 5] > 0)
        shared = overlaps(windows, _fitting(pixels))
        own = np.where(learnt[:, None], shared, 0)
        best, which = own.max(axis=2), own.argmax(axis=2)
        nearest = own.argmax(axis=1)  # for each box, its best window
        for picture, box in np.argwhere(learnt):
            window = nearest[picture, box]
            best[picture, window], which[picture, window] = 1, box
        near_ignored = np.where(ignored[:, None], overlaps(windows, pixels, of_first=True), 0).max(axis=2) >= EMPTY
        rows = np.take_along_axis(pixels, which[:, :, None], axis=1)
        labels = np.take_along_axis(boxes[:, :, 4], which, axis=1)
        label = np.where(best >= HOLDS, labels, np.where((best < EMPTY) & ~near_ignored, classes, NOT_LEARNT))
        sides = np.broadcast_to(side, label.shape)
        return np.concatenate([rows, label[..., None], sides[..., None]], axis=2).astype(np.float32)

    return encode


def _fitting(boxes: Array) -> Array:
    """The window that would fit each box. Shapes: [B, M, 4] -> [B, M, 4]."""
    middle = (boxes[:, :, :2] + boxes[:, :, 2:]) / 2
    half = (boxes[:, :, 2:] - boxes[:, :, :2]).max(axis=2, keepdims=True) / (2 * FILL)
    return np.concatenate([middle - half, middle + half], axis=2)
