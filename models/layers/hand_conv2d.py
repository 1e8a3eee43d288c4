"""A convolution written out by hand."""

import math
from typing import Any

import keras

from models import convolution
from models.convolution import Steps
from models.sizes import Padding, output_size


@keras.saving.register_keras_serializable("convoy")
class HandConv2D(keras.layers.Layer):  # type: ignore[misc]
    """Keras' Conv2D from slices and one multiplication of matrices: the same weights, by names and shapes, the same answers.

    Args:
        padding: "valid", "same", or how many zeros on each side.
    Shapes: [B, H, W, C] -> [B, H', W', filters].
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Steps,
        strides: Steps = 1,
        padding: Padding = "valid",
        dilation_rate: Steps = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.filters = filters
        self.kernel_size, self.strides, self.dilation_rate = (
            convolution.each_axis(value, (0, 0)) for value in (kernel_size, strides, dilation_rate)
        )
        self.padding = padding
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (*self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel")
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer=self.bias_initializer, name="bias")

    def call(self, inputs: Any) -> Any:
        kernel = keras.ops.convert_to_tensor(self.kernel)
        outputs = convolution.correlate(inputs, kernel, self.strides, self.padding, self.dilation_rate)
        if self.bias is not None:
            outputs = outputs + self.bias
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        axes = zip(input_shape[1:3], self.kernel_size, self.strides, self.dilation_rate, strict=True)
        sides = [None if n is None else output_size(n, k, s, self.padding, d) for n, k, s, d in axes]
        return (input_shape[0], *sides, self.filters)

    def macs(self, input_shape: tuple[int | None, ...], output_shape: tuple[int | None, ...]) -> int:
        """One for each weight of the kernel at each place."""
        return math.prod([*self.kernel_size, input_shape[-1] or 0, *(side or 0 for side in output_shape[1:])])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
