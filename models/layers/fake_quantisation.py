"""What a tensor of eight bits would hold."""

from typing import Any

import keras

STEPS = 255  # between the smallest and the largest of 256 values
MOMENTUM = 0.99  # the range is that of about the last hundred batches


@keras.saving.register_keras_serializable("convoy")
class FakeQuantisation(keras.layers.Layer):  # type: ignore[misc]
    """Values rounded to the 256 that an int8 tensor can tell apart, in a range that follows those seen in training.

    The range always has the zero in it, and moves by less than a step so that zero is one of the 256. Gradients pass as if
    nothing was rounded, except those of values outside of the range, which are zero.

    Args:
        momentum: share of the range that stays at each batch; at the first batches it is the mean of those seen.
        fixed: the range, where it is known.
    Shapes: any, kept.
    Source: Jacob et al. 2018, sections 2.1, 3.1; Bengio et al. 2013 for the gradient.
    """

    def __init__(self, momentum: float = MOMENTUM, fixed: tuple[float, float] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.momentum, self.fixed = momentum, fixed

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        del input_shape
        if self.fixed is None:
            state = {"shape": (), "initializer": "zeros", "trainable": False, "dtype": "float32", "aggregation": "mean"}
            self.low = self.add_weight(name="low", **state)
            self.high = self.add_weight(name="high", **state)
            self.seen = self.add_weight(name="seen", **state)

    def call(self, inputs: Any, training: bool = False, track: bool = True) -> Any:
        if self.fixed is not None:
            return in_steps(inputs, *(keras.ops.convert_to_tensor(limit, "float32") for limit in self.fixed))
        low, high = keras.ops.convert_to_tensor(self.low), keras.ops.convert_to_tensor(self.high)
        if training and track:
            seen = self.seen + 1.0
            share = keras.ops.maximum(1.0 - self.momentum, 1.0 / seen)
            values = keras.ops.stop_gradient(inputs)
            low = low + share * (keras.ops.min(values) - low)
            high = high + share * (keras.ops.max(values) - high)
            for state, value in ((self.low, low), (self.high, high), (self.seen, seen)):
                state.assign(value)
        return in_steps(inputs, low, high)

    def compute_output_shape(self, input_shape: tuple[int | None, ...], **_: Any) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "fixed": self.fixed}


def in_steps(values: Any, low: Any, high: Any) -> Any:
    """Values in 255 equal steps from `low` to `high`, one of which is zero; what lies outside becomes the nearest of them."""
    low, high = keras.ops.minimum(low, 0.0), keras.ops.maximum(high, 0.0)
    step = keras.ops.maximum((high - low) / STEPS, 1e-12)
    below = keras.ops.round(-low / step)  # steps from the smallest value to zero
    inside = keras.ops.clip(values, -below * step, (STEPS - below) * step)
    rounded = keras.ops.floor(inside / step + 0.5) * step  # halves go the same way everywhere, or pixels would fall together
    return keras.ops.stop_gradient(rounded) + (inside - keras.ops.stop_gradient(inside))
