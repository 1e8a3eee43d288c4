"""Runs an ONNX file with ONNX Runtime alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from app.runners import Outputs, picture_shape

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class OnnxRunner:
    """An ONNX file in a session; `run` may be called by several threads at once.

    Args:
        threads: cores for one run, 0: all.
        providers: what runs it, the first that can: the CPU, unless a caller asks for others.
    """

    def __init__(self, path: Path, threads: int = 0, providers: Sequence[str] = (CPU,)) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; warnings are about the optimiser
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
        image = self._session.get_inputs()[0]
        self.input_name: str = image.name
        self.input_shape = picture_shape(tuple(image.shape), path)
        self._outputs = [output.name for output in self._session.get_outputs()]

    @property
    def provider(self) -> str:
        """What runs it: a provider that was asked for may find no device to run on."""
        found: str = self._session.get_providers()[0]
        return found

    @property
    def metadata(self) -> dict[str, str]:
        """What the exporter wrote into the file: labels, objective and input as JSON."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, images: np.ndarray[Any, Any]) -> Outputs:
        """See `Runner`."""
        values = self._session.run(self._outputs, {self.input_name: images})
        return dict(zip(self._outputs, values, strict=True))


def available_providers() -> list[str]:
    """What can run a file here: a graphics card where ONNX Runtime was built for one and it is there, and the CPU."""
    return [name for name in (CUDA, CPU) if name in onnxruntime.get_available_providers()]


def open_file(path: Path) -> OnnxRunner:
    """The file, ready to run."""
    return OnnxRunner(path)
