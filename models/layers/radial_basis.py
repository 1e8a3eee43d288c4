"""Output units that measure the distance to a fixed code."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("convoy")
class RadialBasis(keras.layers.Layer):  # type: ignore[misc]
    """Minus the squared Euclidean distance of the input to each class's code: its logits, as log-likelihoods of Gaussians.

    The codes are weights that no training changes.

    Args:
        codes: a row of numbers for each class.
    Shapes: [B, N] -> [B, len(codes)].
    Raises:
        ValueError: the input is not as long as the codes.
    Source: LeCun, Bottou, Bengio, Haffner 1998, equation 7.
    """

    def __init__(self, codes: Sequence[Sequence[float]], **settings: Any) -> None:
        super().__init__(**settings)
        self.codes = tuple(tuple(float(value) for value in code) for code in codes)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape[-1] != len(self.codes[0]):
            raise ValueError(f"{self.name} has codes of {len(self.codes[0])} numbers and gets {input_shape[-1]}")
        kernel = np.array(self.codes, np.float32).T
        fixed = keras.initializers.Constant(kernel)
        self.kernel = self.add_weight(shape=kernel.shape, initializer=fixed, trainable=False, name="codes")

    def call(self, inputs: Any) -> Any:
        # The square written out: one matrix product instead of a difference for every class.
        own = keras.ops.sum(keras.ops.square(inputs), axis=-1, keepdims=True)
        codes = keras.ops.sum(keras.ops.square(self.kernel), axis=0)
        return 2 * keras.ops.matmul(inputs, self.kernel) - own - codes

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], len(self.codes))

    def macs(self, input_shape: tuple[int | None, ...], output_shape: tuple[int | None, ...]) -> int:
        """A multiplication for each number of each code."""
        del input_shape, output_shape
        return len(self.codes) * len(self.codes[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "codes": self.codes}
