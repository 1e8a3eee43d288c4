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
        xy, sides, logits = ops.split(self.rows(maps), [2, 4], axis=2)
        grid = (values[None] for values in self.grid([each.shape[1:3] for each in maps]))
        return ops.concatenate([self.decoded(xy, sides, *grid), logits], axis=2)

    def rows(self, maps: Sequence[Any]) -> Any:
        """The maps as they are given, in one row for each prediction. Shapes: -> float32 [B, P, 5 + classes]."""
        ops = keras.ops
        rows = [
            ops.reshape(ops.cast(each, "float32"), (-1, each.shape[1] * each.shape[2] * len(anchors), 5 + self.classes))
            for each, anchors in zip(maps, self.anchors, strict=True)
        ]
        return ops.concatenate(rows, axis=1)

    @staticmethod
    def decoded(xy: Any, sides: Any, corner: Any, step: Any, anchor: Any) -> Any:
        """Centre x and y, width and height in pixels.

        Args:
            xy, sides: as a map gives them.
            corner, step, anchor: as `grid` does.
        Shapes: twice [B, K, 2], with [B or 1, K, ...] -> [B, K, 4].
        """
        ops = keras.ops
        centre = (2.0 * ops.sigmoid(xy) - 0.5) * step + corner
        return ops.concatenate([centre, ops.square(2.0 * ops.sigmoid(sides)) * anchor], axis=2)

    def grid(self, sizes: Sequence[Sequence[int]]) -> tuple[Any, Any, Any]:
        """For each of the P predictions the upper left corner of its cell, its stride and its anchor: x and y in pixels.

        Args:
            sizes: height and width of each map.
        Shapes: float32 [P, 2], [P, 1], [P, 2].
        """
        places = self.places(sizes)
        anchor = np.concatenate(self.anchors)[places[:, 3]]
        corner, step, anchor = (values.astype(np.float32) for values in (places[:, :2], places[:, 2:3], anchor))
        return corner, step, anchor

    def places(self, sizes: Sequence[Sequence[int]]) -> Any:
        """For each of the P predictions x and y of the upper left corner of its cell, its stride, and the number of its
        anchor among those of all maps.

        Shapes: int32 [P, 4].
        """
        found, first = [], 0
        for (height, width), stride, anchors in zip(sizes, self.strides, self.anchors, strict=True):
            y, x, anchor = np.mgrid[:height, :width, : len(anchors)].reshape(3, -1)
            found.append(np.stack([x * stride, y * stride, np.full_like(x, stride), anchor + first], axis=-1))
            first += len(anchors)
        return np.concatenate(found).astype(np.int32)

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
        place, objectness, classes = keras.ops.split(predictions, [4, 5], axis=2)
        return self.boxes(place), keras.ops.sigmoid(objectness) * keras.ops.sigmoid(classes)

    def boxes(self, place: Any) -> Any:
        """Centre x and y, width and height in pixels -> ymin, xmin, ymax, xmax as fractions. Shapes: [B, K, 4] -> the same."""
        height, width = self.size
        edges = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, -0.5, 0, 0.5], [-0.5, 0, 0.5, 0]]) / [height, width, height, width]
        return keras.ops.clip(keras.ops.matmul(place, edges.astype(np.float32)), 0.0, 1.0)

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
