"""Boxes of any size as maps of one size."""

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class RoiAlign(keras.layers.Layer):  # type: ignore[misc]
    """Each box cut out of the maps and brought to `pool` x `pool` places by bilinear interpolation.

    Every place is the mean of `samples` x `samples` points spread evenly over its part of the box. The weights of rows and of
    columns are independent, so that all of it is two matrix products, which every runtime has and which have a
    gradient. Points more than a place outside of the map count as 0, as ONNX has it. No gradient goes to the boxes.

    Args:
        pool: places along either side of what comes out.
        stride: pixels of the picture from one place of the map to the next.
        samples: points along either side of a place.
    Shapes: maps [B, h, w, C], boxes [B, R, 4] -> [B, R, pool, pool, C].
    Boxes: ymin, xmin, ymax, xmax in pixels of the picture; the middle of the first place of a map is at half a stride.
    Source: He et al. 2017 (Mask R-CNN), section 3; Ren et al. 2015 took the maximum of whole places.
    """

    def __init__(self, pool: int, stride: int, samples: int = 2, **settings: Any) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.pool, self.stride, self.samples = pool, stride, samples

    def call(self, inputs: Sequence[Any]) -> Any:
        ops = keras.ops
        maps, boxes = inputs
        rows, columns, channels = maps.shape[1:]
        count, pool = boxes.shape[1], self.pool
        boxes = ops.stop_gradient(boxes) / self.stride - 0.5
        down = self._weights(boxes[:, :, 0], boxes[:, :, 2], rows)
        across = self._weights(boxes[:, :, 1], boxes[:, :, 3], columns)
        x = ops.matmul(ops.reshape(down, (-1, count * pool, rows)), ops.reshape(maps, (-1, rows, columns * channels)))
        # The rows of a box lie beside each other now, so that one product takes the columns of them all.
        x = ops.reshape(x, (-1, pool, columns, channels))
        x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, columns, pool * channels))
        x = ops.matmul(ops.reshape(across, (-1, pool, columns)), x)
        x = ops.transpose(ops.reshape(x, (-1, pool, pool, channels)), (0, 2, 1, 3))
        return ops.reshape(x, (-1, count, pool, pool, channels))

    def _weights(self, first: Any, last: Any, places: int) -> Any:
        """What each place of a map counts along one axis. Shapes: [B, R] twice -> [B, R, pool, places]."""
        ops = keras.ops
        points = self.pool * self.samples
        part = (ops.arange(points, dtype="float32") + 0.5) / points
        at = first[:, :, None] + (last - first)[:, :, None] * part
        inside = ops.cast(ops.logical_and(at >= -1.0, at <= float(places)), "float32")
        at = ops.clip(at, 0.0, places - 1.0)
        distance = ops.abs(at[:, :, :, None] - ops.arange(places, dtype="float32"))
        near = ops.maximum(1.0 - distance, 0.0) * inside[:, :, :, None]
        return ops.mean(ops.reshape(near, (-1, first.shape[1], self.pool, self.samples, places)), axis=3)

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (shapes[0][0], shapes[1][1], self.pool, self.pool, shapes[0][3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool": self.pool, "stride": self.stride, "samples": self.samples}
