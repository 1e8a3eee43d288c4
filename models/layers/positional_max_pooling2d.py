"""Maximum pooling that remembers where each maximum was."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class PositionalMaxPooling2D(keras.layers.Layer):  # type: ignore[misc]
    """The largest value of every 2x2 window, and which of the four it was, as ones and zeros.

    Of equal values the first counts, row by row, and no other: `MaxUnpooling2D` puts a value back once, and a gradient
    comes back once. No index into the whole map is kept, which phones could not scatter by.

    Shapes: [B, H, W, C], sides even -> [B, H / 2, W / 2, C] and [B, H / 2, W / 2, 4C]: the places top left, top right, bottom
        left and bottom right one after the other.
    Raises:
        ValueError: a side is odd, or not known.
    Source: Badrinarayanan, Kendall, Cipolla 2015, section 3.
    """

    pool_size = strides = (2, 2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if any(side is None or side % 2 for side in input_shape[1:3]):
            raise ValueError(f"{self.name} halves sides that are even, and gets {input_shape[1]}x{input_shape[2]}")

    def call(self, inputs: Any) -> tuple[Any, Any]:
        ops = keras.ops
        rows, columns, channels = inputs.shape[1:]
        # Two rows of a window as an axis, its two columns as twice the channels: no axis has to change places.
        upper, lower = ops.unstack(ops.reshape(inputs, (-1, rows // 2, 2, columns // 2, 2 * channels)), axis=2)
        values = [part for pair in (upper, lower) for part in ops.split(pair, 2, axis=-1)]
        largest = ops.maximum(ops.maximum(values[0], values[1]), ops.maximum(values[2], values[3]))
        free, places = ops.ones_like(largest), []
        for value in values:
            here = free * ops.cast(ops.greater_equal(value, largest), inputs.dtype)
            free = free - here
            places.append(here)
        places = [ops.stop_gradient(place) for place in places]
        pooled = sum(value * place for value, place in zip(values, places, strict=True))
        return pooled, ops.concatenate(places, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[tuple[int | None, ...], ...]:
        rows, columns, channels = (side or 0 for side in input_shape[1:])
        return (input_shape[0], rows // 2, columns // 2, channels), (input_shape[0], rows // 2, columns // 2, 4 * channels)
