"""Runs a file of a release, whatever its format: pixels in, finished outputs by name out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from app.errors import UserError
from app.images import with_channels

BATCH = 32
Outputs = dict[str, np.ndarray[Any, Any]]


class Runner(Protocol):
    """A network ready to run.

    Args:
        input_name: the name of the one input.
        input_shape: height, width and channels of a picture: 3, or 1 in a file for microcontrollers.
    """

    @property
    def input_name(self) -> str: ...

    @property
    def input_shape(self) -> tuple[int, int, int]: ...

    def run(self, images: np.ndarray[Any, Any]) -> Outputs:
        """The outputs by name for any number of pictures.

        Shapes: float32 [N, *input_shape] in 0..255 -> float32 [N, ...] each.
        """
        ...


class RuntimeMissing(UserError):
    """The package that runs a file is not installed here."""


@dataclass(frozen=True)
class Format:
    """How the files of a format are run.

    Args:
        runtime: its name for people.
        package: what has to be installed.
        module: has `open_file(path) -> Runner`; imported when a file is opened, so that each needs its own package alone.
        suffix: how such files are called; empty for a folder.
    """

    runtime: str
    package: str
    module: str
    suffix: str = ""


FORMATS = {
    "saved_model": Format("TensorFlow", "tensorflow", "app.runners.saved_model"),
    "tflite": Format("LiteRT", "ai-edge-litert", "app.runners.litert", ".tflite"),
    "onnx": Format("ONNX Runtime", "onnxruntime", "app.runners.onnx", ".onnx"),
}


def open_file(path: str | Path, file_format: str) -> Runner:
    """The file, ready to run.

    Raises:
        RuntimeMissing: the format's package is not installed.
        UserError: its runtime does not take the file.
    """
    row = FORMATS[file_format]
    try:
        module = import_module(row.module)
    except ImportError:
        raise RuntimeMissing(f"{path} needs {row.runtime}; install it with: pip install {row.package}") from None
    opened: Callable[[Path], Runner] = module.open_file
    try:
        return opened(Path(path))
    except UserError:
        raise
    except Exception as error:  # each runtime has exceptions of its own
        raise UserError(f"{path} cannot be opened by {row.runtime}: {first_line(error)}; export it again") from error


def run_pictures(
    runner: Runner, pictures: np.ndarray[Any, Any], kept: Callable[[Outputs], Outputs] = lambda outputs: outputs
) -> Outputs:
    """The outputs for pictures as they are stored, batch by batch, so that memory does not grow with their number.

    Args:
        kept: what is needed of a batch's outputs.
    Shapes: uint8 [N, H, W, C], C 1 or 3, N at least 1 -> float32 [N, ...] each.
    """
    channels = runner.input_shape[2]
    parts = [
        kept(runner.run(with_channels(pictures[start : start + BATCH], channels).astype(np.float32)))
        for start in range(0, len(pictures), BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def picture_shape(dimensions: tuple[Any, ...] | list[Any], path: Path) -> tuple[int, int, int]:
    """Height, width and channels of an input of [batch, height, width, 3], or of 1 channel.

    Raises:
        UserError: the input is something else.
    """
    sizes = tuple(dimensions)
    if len(sizes) != 4 or not all(isinstance(side, int) and side > 0 for side in sizes[1:]) or sizes[3] not in (1, 3):
        advice = "a picture is [batch, height, width, 3 (or 1)], as this program exports it"
        raise UserError(f"{path} takes {list(sizes)}; {advice}")
    return sizes[1], sizes[2], sizes[3]


def first_line(error: Exception) -> str:
    """What an exception says, short enough for one line."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
