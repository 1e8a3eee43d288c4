"""A picture in another size."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class PyramidLevel(keras.layers.Layer):  # type: ignore[misc]
    """The picture brought to a size by bilinear interpolation between the four pixels around each place.

    Keras' own layer for this counts as augmentation: a network that has it and is called without `training` takes that for
    training, and its normalisation the statistics of the batch.

    Shapes: [B, H, W, C] -> [B, height, width, C].
    """

    def __init__(self, height: int, width: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.height, self.width = height, width

    def call(self, inputs: Any) -> Any:
        return keras.ops.image.resize(inputs, (self.height, self.width), interpolation="bilinear", data_format="channels_last")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.height, self.width, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}
