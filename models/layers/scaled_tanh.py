"""The squashing function of the first convolutional networks."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class ScaledTanh(keras.layers.Layer):  # type: ignore[misc]
    """1.7159 tanh(2x / 3): +1 and -1 are its points of largest curvature, and it maps them to themselves.

    Shapes: any, kept.
    Source: LeCun, Bottou, Bengio, Haffner 1998, appendix A.
    """

    def call(self, inputs: Any) -> Any:
        return 1.7159 * keras.ops.tanh(inputs * (2 / 3))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape
