"""A pooling layer on pooling written out: by the mean."""

from typing import Any

import keras

from models.convolution import average_pool2d


@keras.saving.register_keras_serializable("convoy")
class HandAveragePool2D(keras.layers.AveragePooling2D):  # type: ignore[misc]
    """The mean of each window, with the settings and shapes of Keras' AveragePooling2D.

    Shapes: [B, H, W, C] -> [B, H', W', C].
    """

    def call(self, inputs: Any) -> Any:
        return average_pool2d(inputs, self.pool_size, self.strides, self.padding)
