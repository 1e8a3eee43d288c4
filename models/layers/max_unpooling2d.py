"""The inverse of maximum pooling, as far as there is one."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class MaxUnpooling2D(keras.layers.Layer):  # type: ignore[misc]
    """Every value in a 2x2 window of zeros, at the place where the maximum of that window was.

    Shapes: [B, H, W, C] and the places that `PositionalMaxPooling2D` gave, [B, H, W, 4C] -> [B, 2H, 2W, C].
    Raises:
        ValueError: the places are of maps of another shape.
    Source: Badrinarayanan, Kendall, Cipolla 2015, section 3.
    """

    pool_size = strides = (2, 2)

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        values, places = input_shape
        if tuple(places[1:]) != (*values[1:3], 4 * (values[3] or 0)):
            raise ValueError(f"{self.name} gets maps of {values[1:]} and places of {places[1:]}; four a value belong to them")

    def call(self, inputs: Any) -> Any:
        ops = keras.ops
        values, places = inputs
        rows, columns, channels = values.shape[1:]
        parts = [values * place for place in ops.split(places, 4, axis=-1)]
        upper, lower = (ops.concatenate(pair, axis=-1) for pair in (parts[:2], parts[2:]))
        return ops.reshape(ops.stack([upper, lower], axis=2), (-1, 2 * rows, 2 * columns, channels))

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        batch, rows, columns, channels = input_shape[0]
        return batch, 2 * (rows or 0), 2 * (columns or 0), channels
