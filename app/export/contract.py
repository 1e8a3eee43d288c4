"""What finished outputs have to be, whatever file they come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from app.errors import UserError
from app.runners import Outputs

SUM_ERROR = 1e-2  # of probabilities, from 1
STEP = 1 / 256  # of what is stored in a byte
EDGE = 1e-4  # by which a box may lie outside the picture
NOTHING = "; nothing was released"


def check_outputs(name: str, objective: str, outputs: Outputs, classes: int, *, integers: bool) -> None:
    """Refuses outputs that are not shaped as the release's contract has them, or that cannot be what they are called.

    Values that are no numbers pass; they are told with the other differences.

    Args:
        name: of the file.
        integers: each value is rounded to a step of 1/256.
    Raises:
        UserError: names the output.
    """
    CHECKS[objective](name, outputs, classes, STEP / 2 if integers else 0.0)


def _probabilities(name: str, values: np.ndarray[Any, Any], classes: int, rounded: float) -> None:
    width = values.shape[-1]
    if width != classes:
        raise UserError(f"{name} gives {width} probabilities for {classes} classes{NOTHING}; train again")
    error = SUM_ERROR + rounded * width
    if (np.abs(values.sum(axis=-1) - 1) > error).any() or (values < 0).any():
        raise UserError(f"{name} gives probabilities that do not add up to 1; the softmax has to be inside{NOTHING}")


def _label(name: str, outputs: Outputs, classes: int, rounded: float) -> None:
    _probabilities(name, outputs["probabilities"], classes, rounded)


def _masks(name: str, outputs: Outputs, classes: int, rounded: float) -> None:
    if outputs["masks"].ndim != 4:
        shape = list(outputs["masks"].shape)
        raise UserError(f"{name} gives masks of {shape}; they are [batch, height, width, classes]{NOTHING}")
    _probabilities(name, outputs["masks"], classes, rounded)


def _boxes(name: str, outputs: Outputs, classes: int, rounded: float) -> None:
    del rounded  # finished boxes are floats in every file
    boxes, kinds, scores, count = (outputs[key] for key in ("boxes", "classes", "scores", "count"))
    pictures, most = scores.shape
    wanted = {"boxes": (pictures, most, 4), "classes": (pictures, most), "count": (pictures,)}
    for key, shape in wanted.items():
        if outputs[key].shape != shape:
            raise UserError(f"{name} gives {key} of {list(outputs[key].shape)}, not {list(shape)}{NOTHING}")
    there = np.arange(most) < count[:, None]
    if (boxes[there] < -EDGE).any() or (boxes[there] > 1 + EDGE).any():
        raise UserError(f"{name} gives boxes that are no fractions of the picture{NOTHING}")
    if (kinds < 0).any() or (kinds >= classes).any():
        raise UserError(f"{name} gives the class {kinds.max():g}, and there are {classes}, from 0{NOTHING}; train again")
    if (scores < 0).any() or (scores > 1 + EDGE).any() or (np.diff(scores, axis=1) > EDGE).any():
        raise UserError(f"{name} gives scores that do not go down from 1 to 0{NOTHING}")


CHECKS: dict[str, Callable[[str, Outputs, int, float], None]] = {
    "classification": _label,
    "detection": _boxes,
    "segmentation": _masks,
}
