"""Runs an inference model with Keras: what every file of a release is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.runners import Outputs


class KerasRunner:
    """The graph of `app.deploy`, run as the files are."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.input_name: str = model.inputs[0].name
        height, width, channels = model.input_shape[1:]
        self.input_shape: tuple[int, int, int] = height, width, channels

    def run(self, images: np.ndarray[Any, Any]) -> Outputs:
        """See `Runner`."""
        return {name: np.asarray(values) for name, values in self._model.predict_on_batch(images).items()}
