"""A convolution whose maps see some of the maps below, by a table."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("convoy")
class MapTableConv2D(keras.layers.Layer):  # type: ignore[misc]
    """Each map sees only the maps below that `table` lists for it, by a square kernel each, plus a bias. Stride 1, no padding.

    The kernels of the connections that exist are the weights; before use they are laid out as one full kernel with
    zeros in between, so that it runs as any convolution does.

    Args:
        table: for each map, the indices of the maps that it sees.
    Shapes: [B, H, W, C] -> [B, H - k + 1, W - k + 1, len(table)].
    Raises:
        ValueError: the table names a map that is not there.
    Source: LeCun, Bottou, Bengio, Haffner 1998, table I.
    """

    def __init__(
        self,
        table: Sequence[Sequence[int]],
        kernel_size: int = 5,
        kernel_initializer: Any = "glorot_uniform",
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.table = tuple(tuple(row) for row in table)
        self.kernel_size = (kernel_size, kernel_size)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1] or 0
        pairs = [(source, target) for target, row in enumerate(self.table) for source in row]
        if strange := [source for source, _ in pairs if not 0 <= source < channels]:
            raise ValueError(f"the table of {self.name} names map {strange[0]}; there are {channels}")
        self.kernel = self.add_weight(shape=(*self.kernel_size, len(pairs)), initializer=self.kernel_initializer, name="kernel")
        self.bias = self.add_weight(shape=(len(self.table),), initializer="zeros", name="bias")
        self._layout = np.zeros((len(pairs), channels * len(self.table)), np.float32)
        for number, (source, target) in enumerate(pairs):
            self._layout[number, source * len(self.table) + target] = 1
        self._full_shape = (*self.kernel_size, channels, len(self.table))

    def call(self, inputs: Any) -> Any:
        layout = keras.ops.cast(self._layout, self.compute_dtype)
        full = keras.ops.reshape(keras.ops.matmul(self.kernel, layout), self._full_shape)
        return keras.ops.conv(inputs, full, padding="valid") + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        rows, columns = (None if side is None else side - self.kernel_size[0] + 1 for side in input_shape[1:3])
        return (input_shape[0], rows, columns, len(self.table))

    def macs(self, input_shape: tuple[int | None, ...], output_shape: tuple[int | None, ...]) -> int:
        """Those of the connections that exist."""
        del input_shape
        rows, columns = (side or 0 for side in output_shape[1:3])
        return sum(len(row) for row in self.table) * self.kernel_size[0] ** 2 * rows * columns

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "table": self.table,
            "kernel_size": self.kernel_size[0],
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
