"""What `--augment` names: operations and policies, which are sequences of them, for each objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from app.data.augment import boxes, masks, pictures
from app.data.spec import Array
from app.errors import UserError, unknown

Operation = Callable[[Array, Array, np.random.Generator], tuple[Array, Array]]
Policy = tuple[Operation, ...]

OPERATIONS: dict[str, dict[str, Operation]] = {
    "classification": {
        "shift": pictures.shift,
        "flip": pictures.flip,
        "affine": pictures.affine,
        "scales": partial(pictures.zoom, smallest=256 / 224, largest=512 / 224),
        "window": partial(pictures.zoom, smallest=256 / 224, largest=256 / 224),
        "colour": pictures.colour,
        "pca_colour": pictures.pca_colour,
        "cutout": pictures.cutout,
        "mixup": pictures.mixup,
        "cutmix": pictures.cutmix,
    },
    "detection": {
        "flip": boxes.flip,
        "flip_vertical": boxes.flip_vertical,
        "affine": boxes.affine,
        "scales": partial(boxes.affine, scale=(0.5, 2.0), share=0.0),
        "mosaic": boxes.mosaic,
        "colour": pictures.colour,
        "pca_colour": pictures.pca_colour,
    },
    "segmentation": {
        "flip": masks.flip,
        "flip_vertical": masks.flip_vertical,
        "affine": masks.affine,
        "scales": partial(masks.affine, scale=(0.5, 2.0), share=0.0, degrees=0.0),
        "colour": pictures.colour,
        "pca_colour": pictures.pca_colour,
    },
}
# A mosaic comes after the scaling: its parts have a scale each then, and fill the picture.
POLICIES: dict[str, dict[str, Policy]] = {
    "classification": {
        "none": (),
        "digits": (pictures.affine,),
        "crop": (partial(pictures.shift, share=0.125, mode="constant"),),
        "photos": (partial(pictures.affine, degrees=10.0, scale=0.2, shear=0.1, share=0.1), pictures.flip, pictures.colour),
        "strong": (
            partial(pictures.affine, degrees=15.0, scale=0.3, shear=0.2, share=0.15),
            pictures.flip,
            pictures.colour,
            pictures.cutout,
            pictures.mixup,
        ),
    },
    "detection": {
        "none": (),
        "boxes": (boxes.affine, boxes.mosaic, boxes.flip, pictures.colour),
        "scenes": (boxes.affine, boxes.mosaic),  # digits have a hand, so nothing is mirrored
        "microscope": (boxes.affine, boxes.mosaic, boxes.flip, boxes.flip_vertical, pictures.colour),
    },
    "segmentation": {
        "none": (),
        "masks": (masks.affine, masks.flip, pictures.colour),
        "scenes": (partial(masks.affine, scale=(0.85, 1.2), degrees=0.0),),
        "microscope": (masks.affine, masks.flip, masks.flip_vertical, pictures.colour),
        # Half the size leaves three quarters of a picture void, as it is cut out at the network's size; so not as far down.
        "street": (masks.flip, partial(masks.affine, scale=(0.75, 2.0), share=0.0, degrees=0.0), pictures.colour),
    },
}
CHANGED = {"classification": "whole pictures", "detection": "boxes", "segmentation": "masks"}


def find_policy(text: str, objective: str = "classification") -> Policy:
    """The operations of `crop+flip+cutout`: policies and operations in the order given.

    Raises:
        UserError: a part has no such name, or not for this objective.
    """
    named = {kind: POLICIES[kind] | {name: (op,) for name, op in OPERATIONS[kind].items()} for kind in POLICIES}
    known = named[objective]
    found: Policy = ()
    for name in text.split("+"):
        if name not in known and any(name in others for others in named.values()):
            raise UserError(f"--augment {name} does not work on {CHANGED[objective]}; it takes {', '.join(known)}")
        if name not in known:
            raise unknown("augmentation", name, known)
        found += known[name]
    if sum(isinstance(operation, partial) and operation.func is pictures.zoom for operation in found) > 1:
        raise UserError(f"--augment {text} cuts two windows, one out of the other; name one of scales and window")
    return found


def enlargement(policy: Sequence[Operation]) -> float:
    """How many times the network's side the pictures have to be stored at, so that no window of them is blurred."""
    return max((op.keywords["largest"] for op in policy if isinstance(op, partial) and op.func is pictures.zoom), default=1.0)


def fitted(policy: Sequence[Operation], images: Array, side: int) -> Policy:
    """The operations for these training pictures and a network of that side."""

    def fit(operation: Operation) -> Operation:
        if isinstance(operation, partial) and operation.func is pictures.zoom:
            return partial(operation, side=side)
        return partial(operation, axes=pictures.colour_axes(images)) if operation is pictures.pca_colour else operation

    return tuple(fit(operation) for operation in policy)
