"""Boxes and classes from a classifier that was slid over a pyramid of pictures."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("convoy")
class WindowPredictions(keras.layers.Layer):  # type: ignore[misc]
    """What was answered for each window of each level, in pixels of the picture.

    An edge of a box is given by how many sides of the window it lies from the window's own edge.

    Args:
        size: height and width of the picture.
        window: side of a window in pixels of its level.
        stride: pixels of the level from one window to the next.
        levels: of each level: height and width of the picture, the margin that was put above and to the left of it, and how many
            windows there are in a column and in a row.
    Shapes: for each level logits [B, h, w, classes + 1], the background's last, and edges [B, h, w, 4], in one list
        -> float32 [B, P, 4 + classes + 1]: ymin, xmin, ymax, xmax in pixels, logits. P counts level by level, row by row.
    Source: Sermanet et al. 2014, sections 3.3 and 4.2.
    """

    def __init__(self, size: Sequence[int], window: int, stride: int, levels: Sequence[Sequence[int]], **settings: Any) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.size, self.window, self.stride = list(size), window, stride
        self.levels = [list(level) for level in levels]

    def call(self, inputs: Sequence[Any]) -> Any:
        ops = keras.ops
        logits, edges = (
            ops.concatenate([ops.reshape(grid, (-1, grid.shape[1] * grid.shape[2], grid.shape[3])) for grid in grids], axis=1)
            for grids in (inputs[::2], inputs[1::2])
        )
        windows = self.windows()
        sides = np.tile(windows[:, 2:] - windows[:, :2], 2)
        return ops.concatenate([edges * sides + windows, logits], axis=-1)

    def windows(self) -> Any:
        """What each window covers: ymin, xmin, ymax, xmax in pixels of the picture. Shapes: float32 [P, 4]."""
        found = []
        for height, width, margin, rows, columns in self.levels:
            first = np.mgrid[:rows, :columns].reshape(2, -1).T * self.stride - margin
            scale = np.array(self.size) / (height, width)
            found.append(np.concatenate([first * scale, (first + self.window) * scale], axis=1))
        windows: Any = np.concatenate(found).astype(np.float32)
        return windows

    def detections(self, predictions: Any) -> tuple[Any, Any]:
        """Boxes and the score of each class, before those that overlap a better one are taken out.

        Shapes: [B, P, 4 + classes + 1] -> [B, P, 4], [B, P, classes].
        Boxes: ymin, xmin, ymax, xmax as fractions of the picture.
        """
        ops = keras.ops
        fractions = 1 / np.array([*self.size, *self.size], np.float32)
        return ops.clip(predictions[:, :, :4] * fractions, 0.0, 1.0), ops.softmax(predictions[:, :, 4:])[:, :, :-1]

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (shapes[0][0], sum(rows * columns for *_, rows, columns in self.levels), 4 + (shapes[0][3] or 0))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "window": self.window,
            "stride": self.stride,
            "levels": self.levels,
        }
