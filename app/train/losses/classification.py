"""Losses between logits and soft targets. Shapes: [B, classes], [B, classes] -> a mean over the batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops


class SquaredError(keras.losses.Loss):  # type: ignore[misc]
    """The squared distance of probabilities and targets, summed over classes: the Brier score."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.sum(ops.square(ops.softmax(y_pred) - y_true), axis=-1)


class AbsoluteError(keras.losses.Loss):  # type: ignore[misc]
    """The absolute distance of probabilities and targets, summed over classes."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.sum(ops.abs(ops.softmax(y_pred) - y_true), axis=-1)


LOSSES: dict[str, Callable[[], Any]] = {
    "cross_entropy": partial(keras.losses.CategoricalCrossentropy, from_logits=True),
    "focal": partial(keras.losses.CategoricalFocalCrossentropy, from_logits=True),  # Lin et al. 2017: gamma 2, alpha .25
    "squared": SquaredError,
    "absolute": AbsoluteError,
}
