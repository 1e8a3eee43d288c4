"""A shortcut without weights, where a block has fewer pixels and more channels than its input."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("convoy")
class IdentityShortcut(keras.layers.Layer):  # type: ignore[misc]
    """Every pixel of the grid that a convolution of that stride keeps, with channels of zeros behind its own.

    Args:
        filters: channels of the output.
    Shapes: [B, H, W, C] -> [B, ceil(H / strides), ceil(W / strides), filters].
    Raises:
        ValueError: the input has more channels than that.
    Source: He et al. 2015, section 3.3, option A.
    """

    def __init__(self, filters: int, strides: int = 2, **settings: Any) -> None:
        super().__init__(**settings)
        self.filters = filters
        self.strides = (strides, strides)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if (input_shape[-1] or 0) > self.filters:
            raise ValueError(f"{self.name} gives {self.filters} channels and gets {input_shape[-1]}")

    def call(self, inputs: Any) -> Any:
        kept = inputs[:, :: self.strides[0], :: self.strides[1]]
        return keras.ops.pad(kept, ((0, 0), (0, 0), (0, 0), (0, self.filters - inputs.shape[-1])))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        rows, columns = (
            None if side is None else -(-side // step) for side, step in zip(input_shape[1:3], self.strides, strict=True)
        )
        return (input_shape[0], rows, columns, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "strides": self.strides[0]}
