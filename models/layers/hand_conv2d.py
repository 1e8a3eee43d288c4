"""A convolution layer on convolution written out."""

from typing import Any

import keras

from models.convolution import correlate2d


@keras.saving.register_keras_serializable("convoy")
class HandConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Keras' Conv2D in everything but the computation: its weights, settings and shapes, on `correlate2d`.

    Shapes: [B, H, W, C] -> [B, H', W', filters].
    Raises:
        ValueError: the kernel is divided into groups, or channels come first.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.groups != 1 or self.data_format != "channels_last":
            raise ValueError(f"{self.name} has one group of channels, and they come last")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        x = correlate2d(inputs, self.kernel, self.strides, self.padding, self.dilation_rate)
        return self.activation(x + self.bias if self.use_bias else x)
