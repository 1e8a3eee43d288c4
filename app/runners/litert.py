"""Runs a TFLite file with LiteRT."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from app.errors import UserError
from app.release import LABELS
from app.runners import Outputs, picture_shape
from app.runners.silence import silenced


class LiteRtRunner:
    """A TFLite file, one picture at a time, as its batch of 1 wants it; names are those of its signature.

    Integer inputs and outputs are quantised and given back as real numbers, by the file's own scale.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with silenced():
            self._interpreter = Interpreter(str(path))
            signatures = self._interpreter.get_signature_list()
            if not signatures:
                raise UserError(f"{path} has no signature that names its tensors; export it again")
            self._signature = self._interpreter.get_signature_runner(next(iter(signatures)))
        [(self.input_name, self._input)] = self._signature.get_input_details().items()
        self._outputs = self._signature.get_output_details()
        self.input_shape = picture_shape([int(side) for side in self._input["shape"]], path)
        with silenced():  # the first run says on the screen which delegate it uses
            self.run(np.zeros((1, *self.input_shape), np.float32))

    @property
    def input_dtype(self) -> str:
        """What the file itself takes; `run` takes real numbers in any case."""
        return str(np.dtype(self._input["dtype"]))

    @property
    def input_scale(self) -> tuple[float, int]:
        """Scale and zero point of the input; (0, 0) where it takes real numbers."""
        scale, zero = self._input["quantization"]
        return float(scale), int(zero)

    @property
    def metadata(self) -> dict[str, str]:
        """The labels that the exporter put into the file, as JSON; nothing if there are none."""
        if not zipfile.is_zipfile(self._path):
            return {}
        with zipfile.ZipFile(self._path) as archive:
            return {"labels": json.dumps(archive.read(LABELS).decode().splitlines())} if LABELS in archive.namelist() else {}

    def run(self, images: np.ndarray[Any, Any]) -> Outputs:
        """See `Runner`."""
        stored = quantised(images, self._input)
        answers = [self._signature(**{self.input_name: picture[None]}) for picture in stored]
        return {
            name: real_numbers(np.concatenate([answer[name] for answer in answers]), details)
            for name, details in self._outputs.items()
        }


def quantised(values: np.ndarray[Any, Any], details: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Real numbers as a tensor stores them."""
    scale, zero = details["quantization"]
    kind = np.dtype(details["dtype"])
    if not np.issubdtype(kind, np.integer):
        return values.astype(kind)
    limits = np.iinfo(kind)
    stored: np.ndarray[Any, Any] = np.clip(np.rint(values / (scale or 1)) + zero, limits.min, limits.max).astype(kind)
    return stored


def real_numbers(stored: np.ndarray[Any, Any], details: dict[str, Any]) -> np.ndarray[Any, Any]:
    """What a tensor stores as real numbers."""
    scale, zero = details["quantization"]
    if not np.issubdtype(stored.dtype, np.integer) or not scale:
        return stored.astype(np.float32)
    values: np.ndarray[Any, Any] = (stored.astype(np.float32) - zero) * np.float32(scale)
    return values


def open_file(path: Path) -> LiteRtRunner:
    """The file, ready to run."""
    return LiteRtRunner(path)
