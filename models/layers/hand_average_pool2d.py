"""Average pooling written out by hand."""

from typing import Any

import keras

from models import convolution
from models.convolution import Steps
from models.sizes import Padding, output_size


@keras.saving.register_keras_serializable("convoy")
class HandAveragePool2D(keras.layers.Layer):  # type: ignore[misc]
    """The mean of each window, as Keras' AveragePooling2D, from slices and sums.

    Args:
        strides: the size of the window if not given.
        padding: "valid", "same", or how many on each side; padding counts for nothing.
    Shapes: [B, H, W, C] -> [B, H', W', C].
    """

    def __init__(self, pool_size: Steps = 2, strides: Steps | None = None, padding: Padding = "valid", **settings: Any) -> None:
        super().__init__(**settings)
        self.pool_size = convolution.each_axis(pool_size, (0, 0))
        self.strides = self.pool_size if strides is None else convolution.each_axis(strides, (0, 0))
        self.padding = padding

    def call(self, inputs: Any) -> Any:
        return convolution.average_pool(inputs, self.pool_size, self.strides, self.padding)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        axes = zip(input_shape[1:3], self.pool_size, self.strides, strict=True)
        sides = [None if n is None else output_size(n, k, s, self.padding) for n, k, s in axes]
        return (input_shape[0], *sides, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
