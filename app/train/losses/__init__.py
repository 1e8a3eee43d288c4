"""What training makes small: by objective, a row for each loss that a network's recipe may name."""

from collections.abc import Callable, Mapping
from typing import Any

from app.train.losses import classification, detection, overfeat, segmentation
from models.spec import Objective

# Those of Faster R-CNN are in the network, which draws the regions that they compare.
LOSSES: dict[Objective, Mapping[str, Callable[[], Any] | None]] = {
    "classification": classification.LOSSES,
    "detection": {**detection.LOSSES, **overfeat.LOSSES, "faster_rcnn": None},
    "segmentation": segmentation.LOSSES,
}
