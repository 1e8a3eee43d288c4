"""What is watched during training. The first metric of an objective's row in `app.objectives` decides which weights are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

METRICS: dict[str, Callable[[], list[Any]]] = {
    "classification": lambda: [keras.metrics.CategoricalAccuracy(name="accuracy")],
}
