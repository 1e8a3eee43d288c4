"""A convolution in groups of channels."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class GroupedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Keras' Conv2D with groups, as one plain convolution for each: its weights and answers are the same.

    Keras' own is compiled by XLA on TensorFlow, and stays a call of a function that ONNX has no operator for.

    Shapes: [B, H, W, C] -> [B, H', W', filters].
    Source: Krizhevsky, Sutskever, Hinton 2012, figure 2.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        pairs = zip(keras.ops.split(inputs, self.groups, axis=-1), keras.ops.split(kernel, self.groups, axis=-1), strict=True)
        settings = {"strides": self.strides, "padding": self.padding, "dilation_rate": self.dilation_rate}
        return keras.ops.concatenate([keras.ops.conv(x, part, **settings) for x, part in pairs], axis=-1)
