"""Anchors of several sizes and shapes at every place of a map."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("convoy")
class AnchorGrid(keras.layers.Layer):  # type: ignore[misc]
    """The same boxes around the middle of every place of a map, whatever the map holds.

    They reach beyond the picture at its edges.

    Args:
        stride: pixels of the picture from one place of the map to the next.
        sizes: width and height of each anchor in pixels.
    Shapes: [B, h, w, C] -> [1, h * w * A, 4]: row by row, and the anchors of a place in turn.
    Boxes: ymin, xmin, ymax, xmax in pixels.
    Source: Ren et al. 2015, section 3.1.1.
    """

    def __init__(self, stride: int, sizes: Sequence[Sequence[float]], **settings: Any) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.stride, self.sizes = stride, [[float(side) for side in size] for size in sizes]

    def call(self, inputs: Any) -> Any:
        rows, columns = inputs.shape[1:3]
        y, x = ((np.arange(places) + 0.5) * self.stride for places in (rows, columns))
        centre = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 1, 2)
        half = np.array(self.sizes)[:, ::-1] / 2
        boxes = np.concatenate([centre - half, centre + half], axis=-1).reshape(1, -1, 4)
        return keras.ops.convert_to_tensor(boxes.astype(np.float32))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        rows, columns = input_shape[1:3]
        return (1, (rows or 0) * (columns or 0) * len(self.sizes), 4)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stride": self.stride, "sizes": self.sizes}
