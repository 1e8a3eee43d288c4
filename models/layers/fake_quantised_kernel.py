"""A layer whose kernel has eight bits."""

from typing import Any

import keras

MOST = 127  # a kernel's integers are -127..127


@keras.saving.register_keras_serializable("convoy")
class FakeQuantisedKernel(keras.layers.Wrapper):  # type: ignore[misc]
    """A convolution or dense layer that computes with its kernel as an int8 file holds it, and learns the kernel itself.

    Each output channel has a scale of its own. Batch normalisation that is folded into the kernel later multiplies a
    channel and its scale alike, so that the integers stay as they are.

    Args:
        shift: what was added to the input, one number or one a channel, where the file adds it to the bias instead: as
            much as the kernel was worth before it was rounded.
    Shapes: those of the layer.
    Source: Krishnamoorthi 2018, sections 2.2 and 3.
    """

    def __init__(self, layer: Any, shift: Any = None, **settings: Any) -> None:
        super().__init__(layer, **settings)
        self.shift = shift

    def call(self, inputs: Any) -> Any:
        layer = self.layer
        kernel = keras.ops.convert_to_tensor(layer.kernel)
        rounded = rounded_kernel(kernel, 2 if isinstance(layer, keras.layers.DepthwiseConv2D) else 1)
        values = {id(weight): weight.value for weight in layer.weights} | {id(layer.kernel): rounded}
        more = None if self.shift is None else self._lost(kernel - rounded)
        if more is not None and layer.use_bias:
            values[id(layer.bias)] = values[id(layer.bias)] + more  # `+=` would change the variable
        # In a scope inside of another one, which training on JAX is, every weight has to be named.
        with keras.StatelessScope([(weight, values[id(weight)]) for weight in layer.weights]):
            outputs = layer.call(inputs)
        return outputs if more is None or layer.use_bias else outputs + more

    def _lost(self, difference: Any) -> Any:
        """What a part of the kernel makes of the shift, in each output channel."""
        each = keras.ops.reshape(keras.ops.cast(self.shift, "float32"), (-1, 1))
        return keras.ops.sum(difference * each, axis=(0, 1, 2))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shift": self.shift}


def rounded_kernel(kernel: Any, channel_axes: int = 1) -> Any:
    """A kernel in 127 steps up and down, as large as its largest weight asks for in each channel.

    Gradients pass as if nothing was rounded.

    Args:
        channel_axes: how many of the last axes tell output channels apart: 1, or 2 for depthwise kernels.
    """
    inner = tuple(range(len(kernel.shape) - channel_axes))
    step = keras.ops.maximum(keras.ops.max(keras.ops.abs(kernel), axis=inner, keepdims=True) / MOST, 1e-12)
    rounded = keras.ops.round(kernel / step) * step
    return keras.ops.stop_gradient(rounded) + (kernel - keras.ops.stop_gradient(kernel))
