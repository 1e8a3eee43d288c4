"""Class numbers as probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from app.data.spec import Array


def encoder(network: Any, classes: int) -> Callable[[Array], Array]:  # noqa: ARG001 - as all encoders are made
    """Probabilities are made before augmentation, which may mix them, and are the targets as they are."""
    return lambda probabilities: probabilities


def one_hot(labels: Array, classes: int, smoothing: float = 0.0) -> Array:
    """1 for the class and 0 elsewhere, with a share of it spread evenly over all classes.

    Shapes: int [N] -> float32 [N, classes].
    Source: label smoothing, Szegedy et al. 2016, section 7.
    """
    targets = np.full((len(labels), classes), smoothing / classes, np.float32)
    targets[np.arange(len(labels)), labels] += 1 - smoothing
    return targets
