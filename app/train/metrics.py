"""What is watched during training. The first metric of an objective's row in `app.objectives` decides which weights are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

# Where there is nothing, the finished outputs are measured after every epoch: `app.train.callbacks.Measuring`.
METRICS: dict[str, Callable[[], list[Any]]] = {
    "classification": lambda: [keras.metrics.CategoricalAccuracy(name="accuracy")],
    "detection": list,
    "segmentation": list,
}
