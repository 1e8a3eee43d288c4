"""Boxes from the maps of a network that has anchors at every place."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("convoy")
class AnchorPredictions(keras.layers.Layer):  # type: ignore[misc]
    """Box, objectness and classes of every anchor at every place of several maps.

    A centre lies at `(2 * sigmoid - 0.5 + cell) * stride`, so that it reaches half a cell into each neighbour; a side is
    `(2 * sigmoid) ** 2 * anchor`, at most four times the anchor's. Always computed in float32.

    Args:
        anchors: width and height in pixels of each anchor, a row for each map.
        strides: pixels of the picture from one place of a map to the next.
        size: height and width of the picture; maps may reach beyond it, where it was padded below and to the right.
        classes: how many classes there are.
    Shapes: a list of maps [B, h, w, A * (5 + classes)] -> float32 [B, P, 5 + classes]: centre x, centre y, width and height
        in pixels, then logits of objectness and classes. P counts map by map, row by row, and the anchors of a place in turn.
    Source: Redmon and Farhadi 2018, section 2.1, for anchors and objectness; Bochkovskiy et al. 2020, section 4.3, for sigmoids
        that reach beyond the cell.
    """

    def __init__(
        self, anchors: Sequence[Any], strides: Sequence[int], size: Sequence[int], classes: int, **settings: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.anchors = [[[float(side) for side in anchor] for anchor in row] for row in anchors]
        self.strides, self.size, self.classes = list(strides), list(size), classes

    def call(self, maps: Sequence[Any]) -> Any:
        ops = keras.ops
        rows = [
            ops.reshape(ops.cast(each, "float32"), (-1, each.shape[1] * each.shape[2] * len(anchors), 5 + self.classes))
            for each, anchors in zip(maps, self.anchors, strict=True)
        ]
        raw = ops.concatenate(rows, axis=1)
        corner, step, anchor = (values[None] for values in self.grid([each.shape[1:3] for each in maps]))
        centre = (2.0 * ops.sigmoid(raw[:, :, :2]) - 0.5) * step + corner
        sides = ops.square(2.0 * ops.sigmoid(raw[:, :, 2:4])) * anchor
        return ops.concatenate([centre, sides, raw[:, :, 4:]], axis=-1)

    def grid(self, sizes: Sequence[Sequence[int]]) -> tuple[Any, Any, Any]:
        """For each of the P predictions the upper left corner of its cell, its stride and its anchor: x and y in pixels.

        Args:
            sizes: height and width of each map.
        Shapes: float32 [P, 2], [P, 1], [P, 2].
        """
        corners, steps, sides = [], [], []
        for (height, width), stride, anchors in zip(sizes, self.strides, self.anchors, strict=True):
            y, x = np.mgrid[:height, :width].reshape(2, -1) * stride
            corners.append(np.repeat(np.stack([x, y], axis=-1), len(anchors), axis=0))
            steps.append(np.full((len(corners[-1]), 1), stride))
            sides.append(np.tile(anchors, (height * width, 1)))
        corner, step, anchor = (np.concatenate(parts).astype(np.float32) for parts in (corners, steps, sides))
        return corner, step, anchor

    def map_sizes(self) -> list[tuple[int, int]]:
        """Height and width of each map: as many places as cover the picture, padded to whole steps of the coarsest map."""
        coarsest = max(self.strides)
        height, width = (-(-side // coarsest) * coarsest for side in self.size)
        return [(height // stride, width // stride) for stride in self.strides]

    def detections(self, predictions: Any) -> tuple[Any, Any]:
        """Boxes and the score of each class, before those that overlap a better one are taken out.

        Shapes: [B, P, 5 + classes] -> [B, P, 4], [B, P, classes].
        Boxes: ymin, xmin, ymax, xmax as fractions of the picture.
        """
        ops = keras.ops
        height, width = self.size
        centre, half = predictions[:, :, :2], predictions[:, :, 2:4] / 2
        low, high = ((centre + sign * half) / np.array([width, height], np.float32) for sign in (-1, 1))
        boxes = ops.concatenate([low[:, :, 1:], low[:, :, :1], high[:, :, 1:], high[:, :, :1]], axis=-1)
        scores = ops.sigmoid(predictions[:, :, 4:5]) * ops.sigmoid(predictions[:, :, 5:])
        return ops.clip(boxes, 0.0, 1.0), scores

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        places = sum(
            (height or 0) * (width or 0) * len(anchors)
            for (_, height, width, _), anchors in zip(shapes, self.anchors, strict=True)
        )
        return (shapes[0][0], places, 5 + self.classes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "anchors": self.anchors,
            "strides": self.strides,
            "size": self.size,
            "classes": self.classes,
        }
