"""The kernel that makes a transposed convolution an interpolation."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("convoy")
class BilinearKernel(keras.initializers.Initializer):  # type: ignore[misc]
    """Bilinear interpolation of every map on its own, for a transposed convolution of half the kernel's size as stride.

    Shapes: [2f, 2f, channels, channels] for a stride of f.
    Raises:
        ValueError: the kernel is of another shape.
    Source: Long, Shelhamer, Darrell 2015, section 3.3.
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        high, wide, filters, channels = shape
        if high != wide or high % 2 or filters != channels:
            raise ValueError(f"a kernel of shape {tuple(shape)} does not interpolate: give [2f, 2f, channels, channels]")
        along = 1 - np.abs((np.arange(high) + 0.5) * 2 / high - 1)  # a tent over both neighbours
        kernel = (along[:, None] * along)[:, :, None, None] * np.eye(channels)
        return keras.ops.cast(kernel, dtype or keras.config.floatx())
