"""Annotations -> what a network is trained towards. A row for each encoder that a network may name."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from app.data.spec import Array

Encode = Callable[[Array], Any]

# Each module has `encoder(network, classes) -> Encode`.
ENCODERS = {
    "one_hot": "app.data.targets.one_hot",
    "masks": "app.data.targets.masks",
    "truth": "app.data.targets.truth",
    "yolo_v1": "app.data.targets.yolo_v1",
    "yolo_v5": "app.data.targets.yolo_v5",
    "overfeat": "app.data.targets.overfeat",
}


def make_encoder(name: str, network: Any, classes: int) -> Encode:
    """What turns a batch of annotations into the targets of that network."""
    encode: Encode = import_module(ENCODERS[name]).encoder(network, classes)
    return encode
