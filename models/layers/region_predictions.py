"""Boxes and classes from the regions of a picture that were looked at."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from models.boxes import DEVIATIONS, moved


@keras.saving.register_keras_serializable("convoy")
class RegionPredictions(keras.layers.Layer):  # type: ignore[misc]
    """Each region moved as its likeliest class wants it, and the probability of every class.

    The paper gives every class of a region a box of its own, so that one region may be several objects; here it is one
    object with one box. Regions that are empty have probabilities of 0.

    Args:
        size: height and width of the picture.
    Shapes: logits [B, R, classes + 1] of which the last is the background's, offsets [B, R, 4 * classes] or, where all
        classes share them, [B, R, 4], regions [B, R, 4] -> [B, R, 4 + classes].
    Boxes: ymin, xmin, ymax, xmax in pixels.
    Source: Girshick 2015 (Fast R-CNN), section 2.1.
    """

    def __init__(self, size: Sequence[int], **settings: Any) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.size = list(size)

    def call(self, inputs: Sequence[Any]) -> Any:
        ops = keras.ops
        logits, offsets, regions = inputs
        probabilities = ops.softmax(logits)[:, :, :-1]
        classes, count = probabilities.shape[-1], regions.shape[1]
        if offsets.shape[-1] != 4:
            # By comparison with the largest: argmax does not survive all converters.
            likeliest = ops.cast(probabilities >= ops.max(probabilities, axis=-1, keepdims=True), "float32")
            likeliest = likeliest / ops.sum(likeliest, axis=-1, keepdims=True)
            offsets = ops.sum(likeliest[:, :, :, None] * ops.reshape(offsets, (-1, count, classes, 4)), axis=2)
        boxes = moved(regions, offsets, self.size, DEVIATIONS)
        there = ops.cast(ops.all(regions[:, :, 2:] > regions[:, :, :2], axis=-1, keepdims=True), "float32")
        return ops.concatenate([boxes * there, probabilities * there], axis=-1)

    def detections(self, predictions: Any) -> tuple[Any, Any]:
        """Boxes and the score of each class, before those that overlap a better one are taken out.

        Shapes: [B, R, 4 + classes] -> [B, R, 4], [B, R, classes].
        Boxes: ymin, xmin, ymax, xmax as fractions of the picture.
        """
        height, width = self.size
        # Divided, not multiplied by the inverse: Keras takes the product with an array of numpy's for a sparse one.
        return predictions[:, :, :4] / np.array([height, width] * 2, np.float32), predictions[:, :, 4:]

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (*shapes[2][:2], 4 + (shapes[0][2] or 0) - 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
