"""What the second stage of a two-stage detector is told of its regions."""

from collections.abc import Sequence
from typing import Any

import keras

from models.boxes import DEVIATIONS, offsets, smooth_l1


@keras.saving.register_keras_serializable("convoy")
class RegionLosses(keras.layers.Layer):  # type: ignore[misc]
    """Adds to the network's losses the cross-entropy of each region's class, and how far its box is from the true one.

    Shapes: logits [B, N, classes + 1] of which the last is the background's, offsets [B, N, 4 * classes] or, where all classes
        share them, [B, N, 4], regions [B, N, 4], their classes [B, N] (below 0: not to be learnt from), true boxes
        [B, N, 4] -> [B, 2]: the loss of classes, and that of offsets.
    Source: Girshick 2015 (Fast R-CNN), equations 1 to 3.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"dtype": "float32", **settings})

    def call(self, inputs: Sequence[Any]) -> Any:
        ops = keras.ops
        logits, moves, regions, labels, boxes = inputs
        classes, count = logits.shape[-1] - 1, regions.shape[1]
        used = ops.cast(labels >= 0, "float32")
        wanted = ops.one_hot(ops.cast(ops.maximum(labels, 0.0), "int32"), classes + 1, dtype="float32")
        by_region = -used * ops.sum(wanted * ops.log_softmax(logits), axis=-1)
        own = used[:, :, None] * wanted[:, :, :-1]  # of regions that hold an object, its class
        holds = ops.sum(own, axis=-1)
        if moves.shape[-1] != 4:
            moves = ops.sum(own[:, :, :, None] * ops.reshape(moves, (-1, count, classes, 4)), axis=2)
        error = holds * smooth_l1(moves - ops.stop_gradient(offsets(boxes, regions, DEVIATIONS)))
        number = ops.maximum(ops.sum(used, axis=1), 1.0)
        each = ops.stack([ops.sum(by_region, axis=1) / number, ops.sum(error, axis=1) / number], axis=-1)
        self.add_loss(ops.mean(each[:, 0]))
        self.add_loss(ops.mean(each[:, 1]))
        return each

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (shapes[0][0], 2)
