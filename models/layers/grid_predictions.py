"""Boxes from a network that answers for each cell of a grid at once."""

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("convoy")
class GridPredictions(keras.layers.Layer):  # type: ignore[misc]
    """What a network says of each cell of a grid laid over the picture, in the units in which it is trained.

    Always float32.

    Args:
        rows, columns: of the grid.
        boxes: how many boxes a cell predicts; all of them are of the same class.
        classes: how many classes there are.
    Shapes: [B, rows * columns * (5 * boxes + classes)], or a map of as many values -> float32 [B, cells, 5 * boxes + classes]:
        for each box its centre x and y from 0 to 1 within the cell, the square roots of its width and height as fractions
        of the picture, and its confidence; then the probability of each class if there is an object. Cells row by row.
    Source: Redmon et al. 2016, sections 2 and 2.2.
    """

    def __init__(self, rows: int, columns: int, boxes: int, classes: int, **settings: Any) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.rows, self.columns, self.boxes, self.classes = rows, columns, boxes, classes

    def call(self, inputs: Any) -> Any:
        values = keras.ops.cast(inputs, "float32")
        return keras.ops.reshape(values, (-1, self.rows * self.columns, 5 * self.boxes + self.classes))

    def detections(self, predictions: Any) -> tuple[Any, Any]:
        """Boxes and the score of each class: its probability times the box's confidence.

        Shapes: [B, cells, 5 * boxes + classes] -> [B, cells * boxes, 4], [B, cells * boxes, classes].
        Boxes: ymin, xmin, ymax, xmax as fractions of the picture.
        """
        ops = keras.ops
        cells = self.rows * self.columns
        each = ops.reshape(predictions[:, :, : 5 * self.boxes], (-1, cells * self.boxes, 5))
        place = np.repeat(np.arange(cells), self.boxes)
        cell = np.stack([place % self.columns, place // self.columns], axis=-1)[None].astype(np.float32)
        centre = (each[:, :, :2] + cell) / np.array([self.columns, self.rows], np.float32)
        half = ops.square(each[:, :, 2:4]) / 2
        low, high = centre - half, centre + half
        boxes = ops.concatenate([low[:, :, 1:], low[:, :, :1], high[:, :, 1:], high[:, :, :1]], axis=-1)
        # Nothing keeps what the network gives within 0 and 1.
        likely = ops.repeat(ops.clip(predictions[:, :, 5 * self.boxes :], 0.0, 1.0), self.boxes, axis=1)
        return ops.clip(boxes, 0.0, 1.0), likely * ops.clip(each[:, :, 4:], 0.0, 1.0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.rows * self.columns, 5 * self.boxes + self.classes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rows": self.rows,
            "columns": self.columns,
            "boxes": self.boxes,
            "classes": self.classes,
        }
