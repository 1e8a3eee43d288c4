"""Average pooling written out by hand."""

from typing import Any

import keras

from models import convolution
from models.layers.hand_max_pool2d import HandMaxPool2D


@keras.saving.register_keras_serializable("convoy")
class HandAveragePool2D(HandMaxPool2D):
    """The mean of each window, as Keras' AveragePooling2D, from slices and sums; padding counts for nothing.

    Shapes: [B, H, W, C] -> [B, H', W', C], as HandMaxPool2D.
    """

    def call(self, inputs: Any) -> Any:
        return convolution.average_pool(inputs, self.pool_size, self.strides, self.padding)
