"""Runs an ONNX file with ONNX Runtime alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from app.runners import Outputs, picture_shape


class OnnxRunner:
    """An ONNX file in a session on the CPU.

    Args:
        threads: cores for one run, 0: all.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; warnings are about the optimiser
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        image = self._session.get_inputs()[0]
        self.input_name: str = image.name
        self.input_shape = picture_shape(tuple(image.shape), path)
        self._outputs = [output.name for output in self._session.get_outputs()]

    @property
    def metadata(self) -> dict[str, str]:
        """What the exporter wrote into the file: labels, objective and input as JSON."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, images: np.ndarray[Any, Any]) -> Outputs:
        """See `Runner`."""
        values = self._session.run(self._outputs, {self.input_name: images})
        return dict(zip(self._outputs, values, strict=True))


def open_file(path: Path) -> OnnxRunner:
    """The file, ready to run."""
    return OnnxRunner(path)
