"""Pooling by the smallest value, written out by hand."""

from typing import Any

import keras

from models import convolution
from models.layers.hand_max_pool2d import HandMaxPool2D


@keras.saving.register_keras_serializable("convoy")
class HandMinPool2D(HandMaxPool2D):
    """The smallest of each window, from slices and comparisons.

    Shapes: [B, H, W, C] -> [B, H', W', C], as HandMaxPool2D.
    """

    def call(self, inputs: Any) -> Any:
        return convolution.min_pool(inputs, self.pool_size, self.strides, self.padding)
