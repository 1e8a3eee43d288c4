"""Runs a TFLite file with LiteRT."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from app.errors import UserError
from app.release import LABELS, is_body, tail_of
from app.runners import Outputs, picture_shape
from app.runners.silence import silenced

Details = dict[str, dict[str, Any]]


class LiteRtRunner:
    """A TFLite file, one picture at a time, as its batch of 1 wants it; names are those of its signature.

    Integer inputs and outputs are quantised and given back as real numbers, by the file's own scale. Of a detector that was
    cut in two the second file is run after the first one, beside which it lies.

    Args:
        threads: cores for one run; none: LiteRT's choice.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._path = path
        self._signature = signature_of(path, threads)
        inputs = self._signature.get_input_details()
        if is_body(inputs):  # what a first half gives
            raise UserError(f"{path} takes {', '.join(inputs)} and no picture: it is the second half of another file")
        [(self.input_name, self._input)] = inputs.items()
        self._outputs: Details = self._signature.get_output_details()
        self.tail = tail_of(path) if is_body(self._outputs) else None
        self._tail = signature_of(self.tail, threads) if self.tail else None
        self.input_shape = picture_shape([int(side) for side in self._input["shape"]], path)

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
        """What the exporter put into the file: the labels, as JSON, and the objective that its outputs mean."""
        found = {}
        if zipfile.is_zipfile(self._path):
            with zipfile.ZipFile(self._path) as archive:
                if LABELS in archive.namelist():
                    found["labels"] = json.dumps(archive.read(LABELS).decode().splitlines())
        if self._tail or "boxes" in self._outputs:
            found["objective"] = "detection"
        elif "masks" in self._outputs:
            found["objective"] = "segmentation"
        return found

    def store(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Pictures as the file takes them."""
        return quantised(images, self._input)

    def answer(self, stored: np.ndarray[Any, Any]) -> Outputs:
        """What the file, or both, give for one stored picture. Shapes: [1, H, W, C]."""
        found: Outputs = self._signature(**{self.input_name: stored})
        return found if self._tail is None else dict(self._tail(**_read(found, self._outputs)))

    def read(self, outputs: Outputs) -> Outputs:
        """Outputs as real numbers."""
        details = self._outputs if self._tail is None else self._tail.get_output_details()
        return _read(outputs, details)

    def run(self, images: np.ndarray[Any, Any]) -> Outputs:
        """See `Runner`."""
        answers = [self.answer(picture[None]) for picture in self.store(images)]
        return self.read({name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]})


def signature_of(path: Path, threads: int | None = None) -> Any:
    """What runs a file by the names of its tensors.

    Raises:
        UserError: it is not there, or names none.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; it is a part of this network, and has to lie beside the others")
    with silenced():
        interpreter = Interpreter(str(path), num_threads=threads)
        signatures = interpreter.get_signature_list()
        if not signatures:
            raise UserError(f"{path} has no signature that names its tensors; export it again")
        return interpreter.get_signature_runner(next(iter(signatures)))


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


def _read(outputs: Outputs, details: Details) -> Outputs:
    return {name: real_numbers(values, details[name]) for name, values in outputs.items()}


def open_file(path: Path) -> LiteRtRunner:
    """The file, ready to run."""
    runner = LiteRtRunner(path)
    with silenced():  # the first run says on the screen which delegate it uses
        runner.run(np.zeros((1, *runner.input_shape), np.float32))
    return runner
