"""Runs a SavedModel with TensorFlow, as TF Serving does: by the signature `serving_default`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.runners import Outputs, picture_shape
from app.runners.silence import silenced

with silenced():
    import tensorflow as tf


class SavedModelRunner:
    """A SavedModel on the CPU: a GPU may round to fewer digits than the bounds allow for."""

    def __init__(self, path: Path) -> None:
        with silenced(), tf.device("CPU:0"):
            self._loaded = tf.saved_model.load(str(path))  # kept, because the signature does not keep its variables
        self._signature = self._loaded.signatures["serving_default"]
        [(self.input_name, image)] = self._signature.structured_input_signature[1].items()
        self.input_shape = picture_shape(image.shape.as_list(), path)

    def run(self, images: np.ndarray[Any, Any]) -> Outputs:
        """See `Runner`."""
        with tf.device("CPU:0"):
            answers = self._signature(**{self.input_name: tf.constant(images)})
        return {name: np.asarray(values) for name, values in answers.items()}


def open_file(path: Path) -> SavedModelRunner:
    """The folder, ready to run."""
    return SavedModelRunner(path)
