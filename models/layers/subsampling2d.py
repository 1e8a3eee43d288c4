"""Subsampling with a coefficient and a bias to learn."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class Subsampling2D(keras.layers.Layer):  # type: ignore[misc]
    """The sum of each `pool_size` square, times a coefficient, plus a bias: two weights a map.

    Shapes: [B, H, W, C] -> [B, H / pool_size, W / pool_size, C].
    Source: LeCun, Bottou, Bengio, Haffner 1998, section II.B, layers S2 and S4.
    """

    def __init__(self, pool_size: int = 2, **settings: Any) -> None:
        super().__init__(**settings)
        self.pool_size = self.strides = (pool_size, pool_size)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        mean = keras.initializers.Constant(1 / (self.pool_size[0] * self.pool_size[1]))
        self.coefficient = self.add_weight(shape=(input_shape[-1],), initializer=mean, name="coefficient")
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        total = keras.ops.average_pool(inputs, self.pool_size, self.strides) * (self.pool_size[0] * self.pool_size[1])
        return total * self.coefficient + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        rows, columns = (None if side is None else side // self.pool_size[0] for side in input_shape[1:3])
        return (input_shape[0], rows, columns, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size[0]}
