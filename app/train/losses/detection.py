"""Losses of detectors whose predictions and targets say everything. Shapes: [B, P, ...] twice -> one value a picture."""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import Any

import keras
from keras import ops

SMALLEST = 1e-3  # pixels: a side of less would make gradients of ratios overflow


class YoloV5(keras.losses.Loss):  # type: ignore[misc]
    """Boxes by their complete IoU, objectness and classes by cross-entropy.

    The three are weighted .05, 1 and .5. Boxes and classes are means over the anchors that have one, for each stride;
    objectness is one over all anchors of a stride, weighted 4, 1 and .4 from the finest to the coarsest; the strides are
    added up. All of these weights but the three are in the targets. Objectness is to be the complete IoU that the box
    has at the time, from 0 to 1.

    Shapes: targets as `app.data.targets.yolo_v5` gives them, predictions as `models.layers.AnchorPredictions`.
    Source: the settings of YOLOv5, release 6.0, which has no paper; Zheng et al. 2020 for boxes.
    """

    BOX, OBJECTNESS, CLASSES = 0.05, 1.0, 0.5

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = ops.cast(y_true, y_pred.dtype)
        share = y_true[:, :, 6]
        there = share > 0
        # Where there is no box, both are the same harmless one: its gradient is 0, and not 0 times infinity.
        harmless = ops.ones_like(y_true[:, :, :4])
        true, found = (ops.where(there[:, :, None], part[:, :, :4], harmless) for part in (y_true, y_pred))
        iou = complete_iou(true, found)
        classes = y_pred.shape[-1] - 5
        wanted = ops.one_hot(ops.cast(ops.maximum(y_true[:, :, 4], 0), "int32"), classes, dtype=y_pred.dtype)
        by_class = ops.mean(cross_entropy(wanted, y_pred[:, :, 5:]), axis=-1)
        seen = ops.stop_gradient(ops.where(there, ops.clip(iou, 0.0, 1.0), ops.zeros_like(iou)))
        objectness = y_true[:, :, 5] * cross_entropy(seen, y_pred[:, :, 4])
        return ops.sum(
            share * (self.BOX * (1 - iou) + self.CLASSES * by_class) + self.OBJECTNESS * objectness,
            axis=-1,
        )


class YoloV1(keras.losses.Loss):  # type: ignore[misc]
    """Squared errors of boxes, confidence and classes, added up over the cells.

    Of the boxes that a cell with an object predicts, the one with the highest IoU answers for it; its confidence is to be that
    IoU, that of all other boxes 0. Errors of boxes weigh 5, those of confidence where there is no object .5.

    Shapes: targets as `app.data.targets.yolo_v1` gives them, predictions as `models.layers.GridPredictions`.
    Source: Redmon et al. 2016, section 2.2, equation 3.
    """

    BOX, NOTHING = 5.0, 0.5

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = ops.cast(y_true, y_pred.dtype)
        boxes = (y_pred.shape[-1] - (y_true.shape[-1] - 7)) // 5
        true, grid = y_true[:, :, None, :4], y_true[:, :, None, 5:7]
        there, empty = (ops.cast(which, y_pred.dtype) for which in (y_true[:, :, 4] > 0, y_true[:, :, 4] > -1))
        each = ops.reshape(y_pred[:, :, : 5 * boxes], (-1, y_pred.shape[1], boxes, 5))
        iou = ops.stop_gradient(_iou_in_cell(true, each[..., :4], grid))
        responsible = there[:, :, None] * ops.one_hot(ops.argmax(iou, axis=-1), boxes, dtype=y_pred.dtype)
        others = empty[:, :, None] * (1 - responsible)
        by_box = responsible * (
            self.BOX * ops.sum(ops.square(each[..., :4] - true), axis=-1) + ops.square(each[..., 4] - iou)
        ) + self.NOTHING * others * ops.square(each[..., 4])
        by_class = there * ops.sum(ops.square(y_pred[:, :, 5 * boxes :] - y_true[:, :, 7:]), axis=-1)
        return ops.sum(ops.sum(by_box, axis=-1) + by_class, axis=-1)


def _iou_in_cell(one: Any, other: Any, grid: Any) -> Any:
    """Intersection over union of boxes in one cell: centres within it, roots of the sides as fractions of the picture.

    Shapes: [..., 4] twice, columns and rows [..., 2] -> [...].
    """
    (low, high), (bottom, top) = (
        (box[..., :2] / grid - ops.square(box[..., 2:]) / 2, box[..., :2] / grid + ops.square(box[..., 2:]) / 2)
        for box in (one, other)
    )
    common = ops.prod(ops.maximum(ops.minimum(high, top) - ops.maximum(low, bottom), 0.0), axis=-1)
    area, more = (ops.prod(ops.square(box[..., 2:]), axis=-1) for box in (one, other))
    return common / ops.maximum(area + more - common, 1e-9)


def cross_entropy(wanted: Any, logits: Any) -> Any:
    """The cross-entropy of each logit by itself."""
    return ops.softplus(logits) - wanted * logits


def complete_iou(one: Any, other: Any) -> Any:
    """Intersection over union, less the distance of the centres and the difference of the aspect ratios.

    The factor of the latter is taken as a constant by gradients.

    Shapes: [..., 4] twice -> [...].
    Boxes: centre x, centre y, width, height, in one unit that makes 0.001 a small side.
    Source: Zheng et al. 2020 (Distance-IoU loss), equations 8 to 11.
    """
    (x, y, w, h), (u, v, p, q) = (
        (*(box[..., i] for i in (0, 1)), *(ops.maximum(box[..., i], SMALLEST) for i in (2, 3))) for box in (one, other)
    )
    low_x, low_y = ops.minimum(x - w / 2, u - p / 2), ops.minimum(y - h / 2, v - q / 2)
    high_x, high_y = ops.maximum(x + w / 2, u + p / 2), ops.maximum(y + h / 2, v + q / 2)
    # What the two have together and what encloses them add up to the sum of their sides.
    common = ops.maximum(w + p - (high_x - low_x), 0.0) * ops.maximum(h + q - (high_y - low_y), 0.0)
    iou = common / (w * h + p * q - common)
    distance = (ops.square(x - u) + ops.square(y - v)) / (ops.square(high_x - low_x) + ops.square(high_y - low_y))
    aspect = 4 / pi**2 * ops.square(ops.arctan2(w, h) - ops.arctan2(p, q))
    alpha = ops.stop_gradient(aspect / ops.maximum(1 - iou + aspect, 1e-7))
    return iou - distance - alpha * aspect


LOSSES: dict[str, Callable[[], Any]] = {"yolo_v1": YoloV1, "yolo_v5": YoloV5}
