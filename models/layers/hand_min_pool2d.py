"""A pooling layer on pooling written out: by the smallest."""

from typing import Any

import keras

from models.convolution import min_pool2d


@keras.saving.register_keras_serializable("convoy")
class HandMinPool2D(keras.layers.MaxPooling2D):  # type: ignore[misc]
    """The smallest of each window, with the settings and shapes of Keras' MaxPooling2D.

    Shapes: [B, H, W, C] -> [B, H', W', C].
    """

    def call(self, inputs: Any) -> Any:
        return min_pool2d(inputs, self.pool_size, self.strides, self.padding)
