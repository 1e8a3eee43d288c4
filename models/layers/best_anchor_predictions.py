"""Boxes from the likeliest places of a network that has anchors at every place."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from models.gather import rows_at
from models.layers.anchor_predictions import AnchorPredictions


@keras.saving.register_keras_serializable("convoy")
class BestAnchorPredictions(AnchorPredictions):
    """The detections of `AnchorPredictions` that have the best scores, best first: nothing is decoded of the others.

    Args:
        count: how many; all, if there are fewer.
    Shapes: a list of maps [B, h, w, A * (5 + classes)] -> boxes [B, count, 4], the scores of each class [B, count, classes].
    Boxes: ymin, xmin, ymax, xmax as fractions of the picture.
    """

    def __init__(self, count: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.count = count

    def call(self, maps: Sequence[Any]) -> Any:
        ops = keras.ops
        rows = self.rows(maps)
        likeliest = ops.max(rows[:, :, 5:], axis=2) if self.classes > 1 else rows[:, :, 5]
        _, best = ops.top_k(ops.sigmoid(rows[:, :, 4]) * ops.sigmoid(likeliest), min(self.count, rows.shape[1]))
        xy, sides, objectness, classes = ops.split(rows_at(rows, best), [2, 4, 5], axis=2)
        # Whole numbers: TFLite's dynamic range takes many floats for weights, and would round them.
        place = rows_at(self.places([each.shape[1:3] for each in maps]), best)
        anchor = rows_at(np.concatenate(self.anchors).astype(np.float32), place[:, :, 3])
        corner, step = ops.split(ops.cast(place[:, :, :3], "float32"), [2], axis=2)
        return self.boxes(self.decoded(xy, sides, corner, step, anchor)), ops.sigmoid(objectness) * ops.sigmoid(classes)

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> Any:
        batch, places, _ = super().compute_output_shape(shapes)
        count = min(self.count, places or 0)
        return (batch, count, 4), (batch, count, self.classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "count": self.count}
