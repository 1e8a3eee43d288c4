"""Pooling by the smallest value."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class MinPooling2D(keras.layers.MaxPooling2D):  # type: ignore[misc]
    """The smallest of each window: where dark strokes on light paper are what counts.

    Shapes: [B, H, W, C] -> [B, H', W', C], as Keras' MaxPooling2D.
    """

    def call(self, inputs: Any) -> Any:
        return -super().call(-inputs)
