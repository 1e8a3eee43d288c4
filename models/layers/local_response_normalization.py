"""Local response normalisation."""

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("convoy")
class LocalResponseNormalization(keras.layers.Layer):  # type: ignore[misc]
    """Every value over (k + alpha * the sum of the squares of `depth` neighbouring channels at its place) to the power beta.

    At the first and last channels the sum has fewer terms. Alpha is not divided by `depth`, as it is in some libraries.

    Shapes: [..., C] -> [..., C].
    Args:
        depth: n of the paper, odd: the channel itself and as many on either side.
    Raises:
        ValueError: `depth` is even or less than 1.
    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.3.
    """

    def __init__(self, depth: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **settings: Any) -> None:
        super().__init__(**settings)
        if depth < 1 or depth % 2 == 0:
            raise ValueError(f"depth {depth} is no odd number of channels")
        self.depth, self.k, self.alpha, self.beta = depth, k, alpha, beta

    def call(self, inputs: Any) -> Any:
        # In bfloat16 two plus a little is two, and in float16 the squares overflow.
        x = keras.ops.cast(inputs, "float32")
        # The sum as a product with a band matrix: for training five times as fast as sums of slices, whose gradients
        # are padded one by one; and phones and ONNX Runtime are given a plain matrix product.
        channel = np.arange(inputs.shape[-1])
        band = self.alpha * (np.abs(channel[:, None] - channel) <= self.depth // 2)
        scale = self.k + keras.ops.matmul(keras.ops.square(x), band.astype("float32"))
        if self.beta == 0.75:  # two square roots are several times as fast as a power
            normalised = x * keras.ops.rsqrt(scale * keras.ops.sqrt(scale))
        else:
            normalised = x * keras.ops.power(scale, -self.beta)
        return keras.ops.cast(normalised, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "depth": self.depth, "k": self.k, "alpha": self.alpha, "beta": self.beta}
