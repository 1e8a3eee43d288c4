"""What the files of a release are held to."""

from __future__ import annotations

import math

from app.errors import UserError

# Largest difference from Keras in any output, where outputs are continuous; of an integer file it says nothing about its use.
# Boxes change their order and pixels their class where two are equally likely, so of these the metric and the agreement tell.
DIFFERENCE = {"fp32": 1e-4, "fp16": 1e-2}
CONTINUOUS = ("classification",)
POINTS = {"classification": 1.0, "detection": 3.0, "segmentation": 2.0}  # of the objective's metric, that an int8 file may lose
SAME_POINTS = 0.5  # by which a float file's metric may differ from Keras's, where the difference is no bound
SAME_ANSWERS = {"fp32": 0.99, "fp16": 0.97}  # share of the answers that such a file has to have in common with Keras
COUNTED = {"classification": "pictures", "detection": "boxes", "segmentation": "pixels"}  # of whose answers these are shares
DYNAMIC_SHARE = 0.5  # of the points of int8: its activations are not rounded
ANSWERS = 10  # an integer file may change so many times more answers than it may lose: some wrong ones get right

RECORDED = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.05, "dynamic": 0.05}  # one file on two machines: of any probability
REPEATED = {"fp32": 0.99, "fp16": 0.99, "int8": 0.95, "dynamic": 0.95}  # share of boxes, or pixels, that are the same


def bounds_for(objective: str, tolerance: float | None) -> dict[str, float]:
    """The bound of each precision: of floats a difference, or a share of the metric; of integers a share of the metric.

    Args:
        tolerance: points of the metric that int8 may lose; none: the objective's usual.
    Raises:
        UserError: the tolerance is no number of points.
    """
    if tolerance is not None and not (math.isfinite(tolerance) and 0 <= tolerance <= 100):
        raise UserError(f"--tolerance {tolerance:g} is no number of points; give one from 0 to 100, as in --tolerance 2")
    points = POINTS[objective] if tolerance is None else tolerance
    floats = DIFFERENCE if objective in CONTINUOUS else dict.fromkeys(DIFFERENCE, SAME_POINTS / 100)
    return {**floats, "int8": points / 100, "dynamic": points / 100 * DYNAMIC_SHARE}
