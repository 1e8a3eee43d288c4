"""What each kind of layer does to sizes: its kernel, what its output sees of the picture, its multiply-adds.

The rules ask for what a layer has (`kernel_size`, `pool_size`, `strides`), not for its class, so that layers of our own
follow them. Feature maps are [B, H, W, C].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.explain.graph import Step
from app.explain.sizes import Window, keras_size, same_padding, transposed_crop, transposed_size

Field = tuple[Window | None, Window | None]  # what a position sees along height and width; None: everything
Sizes = tuple[int | None, ...]
Pair = tuple[int, int]
EVERYTHING: Field = (None, None)
PIXEL: Field = (Window(), Window())


@dataclass(frozen=True)
class Kernel:
    """How a layer moves over the picture: height and width of each."""

    size: Pair
    strides: Pair
    dilation: Pair
    padding: str


def kernel_of(layer: Any) -> Kernel | None:
    """The kernel or pooling window of a layer; none for layers that look at one position, or at all.

    A layer with strides alone takes every second position, or so: a kernel of one.
    """
    pool, strides = getattr(layer, "pool_size", None), getattr(layer, "strides", None)
    size = getattr(layer, "kernel_size", pool)
    if size is None and strides is None:
        return None
    padding = getattr(layer, "padding", "valid")
    return Kernel(
        _pair(size or 1),
        _pair(strides or pool or 1),
        _pair(getattr(layer, "dilation_rate", 1)),
        padding if isinstance(padding, str) else "valid",
    )


def seen(step: Step, fields: Sequence[Field]) -> Field:
    """What each position of a step's output sees, from what its inputs see."""
    layer, field = step.layer, _union(fields)
    before, after = tuple(step.inputs[0].shape[1:]), tuple(step.outputs[0].shape[1:])
    if _recurrent(layer) or type(layer).__name__.startswith("Global") or (hasattr(layer, "units") and len(before) == 1):
        return EVERYTHING
    if len(before) == len(after) == 3 and (moved := _moved(step, before, after)):
        sizes = [size for _, size in moved]
        # Attributes may mean something else in a layer that we do not know: its output tells.
        if sizes == list(after[:2]):
            return _along(field, moved)
    if len(before) == len(after) and before[:-1] == after[:-1]:
        return field
    if math.prod(before) == math.prod(after):  # a Flatten or Reshape: the numbers are the same ones, elsewhere
        return _reshaped(field, before, after)
    return EVERYTHING


def macs(step: Step) -> int:
    """Multiplications by kernels, each followed by an addition, for one picture.

    Each number of a kernel is used once a position of the output (of the input where the convolution is transposed),
    whatever groups there are, and once a time step in recurrent layers. A layer that counts otherwise has a method
    `macs(input_shape, output_shape)`.
    """
    layer, before, after = step.layer, tuple(step.inputs[0].shape), tuple(step.outputs[0].shape)
    if hasattr(layer, "macs"):
        return int(layer.macs(before, after))
    kernels = sum(math.prod(weight.shape) for weight in weights(layer) if weight.name.endswith("kernel"))
    if _recurrent(layer):
        return kernels * (before[1] or 1)
    return kernels * math.prod(side or 1 for side in (before if _transposed(layer) else after)[1:-1])


def weights(layer: Any) -> list[Any]:
    """The weights of a layer; operations have none."""
    return list(getattr(layer, "weights", ()))


Moved = tuple[tuple[Window | None, int], tuple[Window | None, int]]


def _moved(step: Step, before: Sizes, after: Sizes) -> Any:
    """For height and width: a function of what was seen that gives what is seen then, and the size that results."""
    layer, kernel = step.layer, kernel_of(step.layer)
    if kernel:
        grows = any((new or 0) > (old or 0) for old, new in zip(before[:2], after[:2], strict=True))
        if _transposed(layer) or (grows and hasattr(layer, "pool_size")):  # the second: unpooling
            return [_transposed_axis(kernel, axis, before) for axis in (0, 1)]
        return [_kernel_axis(kernel, axis, before) for axis in (0, 1)]
    if (margins := getattr(layer, "cropping", None)) is not None:
        return [_shifted(-first, (before[axis] or 0) - first - last) for axis, (first, last) in enumerate(margins)]
    if isinstance(margins := getattr(layer, "padding", None), tuple):
        return [_shifted(first, (before[axis] or 0) + first + last) for axis, (first, last) in enumerate(margins)]
    if hasattr(layer, "interpolation") and hasattr(layer, "size"):
        return [_enlarged(_pair(layer.size)[axis], layer.interpolation, before[axis] or 0) for axis in (0, 1)]
    if type(layer).__name__ == "GetItem":
        return _slices(step.arguments[1], before)
    return None
