"""Losses between logits and masks of class numbers; void pixels, of 255, count in none of them.

Shapes: masks [B, H, W] and logits [B, H, W, classes] -> [B, H, W], whose mean is that of the pixels that count. Weights, of
classes as pixels of theirs, are multiplied to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from app.metrics.segmentation import VOID

FOCUS, SHARE = 2.0, 0.25  # gamma and alpha: Lin et al. 2017, section 3.2


class PixelCrossEntropy(keras.losses.Loss):  # type: ignore[misc]
    """Minus the logarithm of each pixel's probability of its class."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        counted = _counted(y_true)
        return _cross_entropy(y_true, y_pred, counted) * _spread(counted)


class PixelFocal(keras.losses.Loss):  # type: ignore[misc]
    """Cross entropy in which pixels that are right already weigh little.

    Source: Lin et al. 2017, equation 5.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        counted = _counted(y_true)
        surprise = _cross_entropy(y_true, y_pred, counted)
        return SHARE * ops.power(1.0 - ops.exp(-surprise), FOCUS) * surprise * _spread(counted)


class Dice(keras.losses.Loss):  # type: ignore[misc]
    """One minus the overlap of probabilities and masks, a mean over the classes that the batch has, however small.

    All pixels have the same value; a weight of theirs makes all of it count more or less.

    Source: Milletari, Navab, Ahmadi 2016, section 3, for many classes.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        counted = _counted(y_true)
        return _missed(y_true, y_pred, counted) * _spread(counted)


class CrossEntropyDice(keras.losses.Loss):  # type: ignore[misc]
    """The sum of both: cross entropy tells each pixel its class, dice makes rare classes weigh as much as common ones."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        counted = _counted(y_true)
        return (_cross_entropy(y_true, y_pred, counted) + _missed(y_true, y_pred, counted)) * _spread(counted)


def _counted(masks: Any) -> Any:
    """1 for pixels of a class, 0 for void ones."""
    return ops.cast(ops.not_equal(ops.cast(masks, "int32"), VOID), "float32")


def _spread(counted: Any) -> Any:
    """What each pixel is multiplied by, so that the mean over all pixels is the one over those that count."""
    return counted / ops.maximum(ops.mean(counted), 1.0 / (1 << 30))


def _numbers(masks: Any, counted: Any) -> Any:
    """Class numbers, 0 in place of void."""
    return ops.cast(masks, "int32") * ops.cast(counted, "int32")


def _cross_entropy(masks: Any, logits: Any, counted: Any) -> Any:
    return ops.sparse_categorical_crossentropy(_numbers(masks, counted), logits, from_logits=True)


def _missed(masks: Any, logits: Any, counted: Any) -> Any:
    """One minus the dice coefficients' mean, a single number."""
    places = counted[..., None]
    truth = ops.one_hot(_numbers(masks, counted), logits.shape[-1], dtype="float32") * places
    probabilities = ops.softmax(logits) * places
    axes = (0, 1, 2)
    both, total = ops.sum(truth * probabilities, axes), ops.sum(truth + ops.square(probabilities), axes)
    present = ops.cast(ops.any(truth > 0, axes), "float32")
    coefficients = present * 2.0 * both / ops.maximum(total, 1e-7)
    return 1.0 - ops.sum(coefficients) / ops.maximum(ops.sum(present), 1.0)


LOSSES: dict[str, Callable[[], Any]] = {
    "cross_entropy": PixelCrossEntropy,
    "focal": PixelFocal,
    "dice": Dice,
    "cross_entropy_dice": CrossEntropyDice,
}
