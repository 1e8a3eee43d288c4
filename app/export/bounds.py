"""What the files of a release are held to."""

from __future__ import annotations

import math

from app.errors import UserError

DIFFERENCE = {"fp32": 1e-4, "fp16": 1e-2}  # from Keras, in any output; of an integer file it says nothing about its use
POINTS = {"classification": 1.0}  # of the objective's metric, that an int8 file may lose
DYNAMIC_SHARE = 0.5  # of these points: its activations are not rounded
ANSWERS = 10  # an integer file may change so many times more answers than it may lose: some wrong ones get right

RECORDED = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.05, "dynamic": 0.05}  # one file on two machines


def bounds_for(objective: str, tolerance: float | None) -> dict[str, float]:
    """The bound of each precision: a difference for floats, a share of the metric for integers.

    Args:
        tolerance: points of the metric that int8 may lose; none: the objective's usual.
    Raises:
        UserError: the tolerance is no number of points.
    """
    if tolerance is not None and not (math.isfinite(tolerance) and 0 <= tolerance <= 100):
        raise UserError(f"--tolerance {tolerance:g} is no number of points; give one from 0 to 100, as in --tolerance 2")
    points = POINTS[objective] if tolerance is None else tolerance
    return {**DIFFERENCE, "int8": points / 100, "dynamic": points / 100 * DYNAMIC_SHARE}
