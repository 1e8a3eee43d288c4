"""The loss of windows. Shapes: [B, P, ...] twice -> one value a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from models.boxes import smooth_l1


class OverFeat(keras.losses.Loss):  # type: ignore[misc]
    """The cross-entropy of windows that show an object and of as many backgrounds as are hardest, and the error of boxes.

    Nearly all windows are background, and easy; so of each picture's only those with the largest loss count: three for
    each window with an object, and a few where there is none. Both parts are divided by the number of windows with an object.

    Shapes: targets as `app.data.targets.overfeat` gives them, predictions as `models.layers.WindowPredictions`.
    Source: Sermanet et al. 2014, section 5, for negatives chosen while training; Liu et al. 2016 (SSD), section 2.2, for
        three of them; the paper squares the error of boxes.
    """

    HARD, FEWEST = 3.0, 8.0
    BOX = 2.0

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = ops.cast(y_true, y_pred.dtype)
        classes = y_pred.shape[-1] - 5
        label, side = y_true[:, :, 4], y_true[:, :, 5:6]
        wanted = ops.one_hot(ops.cast(ops.maximum(label, 0), "int32"), classes + 1, dtype=y_pred.dtype)
        by_window = -ops.sum(wanted * ops.log_softmax(y_pred[:, :, 4:]), axis=-1)
        empty = ops.cast(label == classes, y_pred.dtype)
        holds = ops.cast(ops.logical_and(label >= 0, label < classes), y_pred.dtype)
        count = ops.sum(holds, axis=1)
        hard = ops.flip(ops.sort(empty * by_window, axis=1), axis=1)
        rank = ops.cast(ops.arange(hard.shape[1]), y_pred.dtype)
        taken = ops.cast(rank[None] < ops.maximum(self.HARD * count, self.FEWEST)[:, None], y_pred.dtype)
        error = smooth_l1((y_pred[:, :, :4] - y_true[:, :, :4]) / side, 0.1)
        total = ops.sum(holds * (by_window + self.BOX * error), axis=1) + ops.sum(hard * taken, axis=1)
        return total / ops.maximum(count, 1.0)


LOSSES: dict[str, Callable[[], Any]] = {"overfeat": OverFeat}
