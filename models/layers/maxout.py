"""The maxout activation."""

from functools import reduce
from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class Maxout(keras.layers.Layer):  # type: ignore[misc]
    """The largest of each `pieces` neighbouring channels: a convex function that is learnt, one linear piece a channel.

    Shapes: [..., C] -> [..., C / pieces].
    Raises:
        ValueError: the channels cannot be divided by `pieces`.
    Source: Goodfellow, Warde-Farley, Mirza, Courville, Bengio 2013.
    """

    def __init__(self, pieces: int = 2, **settings: Any) -> None:
        super().__init__(**settings)
        self.pieces = pieces

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape[-1] is None or input_shape[-1] % self.pieces:
            raise ValueError(f"{input_shape[-1]} channels cannot be shared out to groups of {self.pieces}")

    def call(self, inputs: Any) -> Any:
        return reduce(keras.ops.maximum, (inputs[..., piece :: self.pieces] for piece in range(self.pieces)))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], (input_shape[-1] or 0) // self.pieces)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pieces": self.pieces}
