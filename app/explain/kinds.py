"""What each kind of layer does to sizes: its kernel, what its output sees of the picture, its multiply-adds.

The rules ask for what a layer has (`kernel_size`, `pool_size`, `strides`), not for its class, so that layers of our own
follow them. Feature maps are [B, H, W, C].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.explain.graph import Step, steps
from app.explain.receptive_field import Window
from models.sizes import extent as dilated
from models.sizes import margins, output_size, transposed_crop, transposed_size

Field = tuple[Window | None, Window | None]  # what a position sees along height and width; None: everything
Sizes = tuple[int | None, ...]
Pair = tuple[int, int]
Move = tuple[Callable[[Window], Window | None], int]  # along one axis: what is seen then, and the size
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
    if (size is None and strides is None) or hasattr(layer, "detections"):  # whose strides are of the maps it is given
        return None
    padding = getattr(layer, "padding", "valid")
    return Kernel(
        _pair(size or 1),
        _pair(strides or pool or 1),
        _pair(getattr(layer, "dilation_rate", 1)),
        padding if isinstance(padding, str) else "valid",
    )


def fields(network: Any) -> Iterator[tuple[Step, Field]]:
    """Every step of a network, and what each position of its output sees."""
    known: dict[int, Field] = {}
    for step in steps(network):
        field = seen(step, [known[id(tensor)] for tensor in step.inputs]) if step.inputs else PIXEL
        known |= {id(tensor): field for tensor in step.outputs}
        yield step, field


def seen(step: Step, inputs: Sequence[Field]) -> Field:
    """What each position of a step's output sees, from what its inputs see."""
    layer, field = step.layer, _union(inputs)
    before, after = tuple(step.inputs[0].shape[1:]), tuple(step.outputs[0].shape[1:])
    mixes = len(before) == 1 and macs(step) > 0  # a dense layer over a vector, or one of our own
    if mixes or _recurrent(layer) or type(layer).__name__.startswith("Global"):
        return EVERYTHING
    if len(before) == len(after) == 3 and (moves := _moved(step, before, after)):
        # In a layer that we do not know the attributes may mean something else; the size of its output tells.
        return _along(field, moves) if [size for _, size in moves] == list(after[:2]) else EVERYTHING
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
    kernels: int = sum(math.prod(weight.shape) for weight in weights(layer) if weight.name.endswith("kernel"))
    uses = before[1:2] if _recurrent(layer) else (before if _transposed(layer) else after)[1:-1]
    times: int = math.prod(side or 1 for side in uses)
    return kernels * times


def weights(layer: Any) -> list[Any]:
    """The weights of a layer; operations have none."""
    return list(getattr(layer, "weights", ()))


def _moved(step: Step, before: Sizes, after: Sizes) -> list[Move]:
    """What a layer does along height and width; nothing for one that does not move."""
    layer, kernel = step.layer, kernel_of(step.layer)
    heights = [size or 0 for size in before[:2]]
    if kernel:
        grows = heights < [size or 0 for size in after[:2]]
        transposed = _transposed(layer) or (grows and hasattr(layer, "pool_size"))  # the second: unpooling
        return [(_by_transposed if transposed else _by_kernel)(kernel, axis, heights[axis]) for axis in (0, 1)]
    if (cut := getattr(layer, "cropping", None)) is not None:
        return [_shift(size, -first, -last) for size, (first, last) in zip(heights, cut, strict=True)]
    if isinstance(zeros := getattr(layer, "padding", None), tuple):
        return [_shift(size, first, last) for size, (first, last) in zip(heights, zeros, strict=True)]
    if hasattr(layer, "interpolation") and hasattr(layer, "size"):
        return [_enlarge(size, times, layer.interpolation) for size, times in zip(heights, layer.size, strict=True)]
    if type(layer).__name__ == "GetItem":
        return _sliced(step.arguments[1], heights)
    return []


def _by_kernel(kernel: Kernel, axis: int, size: int) -> Move:
    extent, stride, dilation = kernel.size[axis], kernel.strides[axis], kernel.dilation[axis]
    before = margins(size, extent, stride, kernel.padding, dilation)[0]
    after = output_size(size, extent, stride, kernel.padding, dilation)
    return lambda window: window.through(extent, stride, before, dilation), after


def _by_transposed(kernel: Kernel, axis: int, size: int) -> Move:
    extent, stride, padding = kernel.size[axis], kernel.strides[axis], kernel.padding
    extent = dilated(extent, kernel.dilation[axis])
    crop = transposed_crop(extent, stride, padding)
    return lambda window: window.through_transposed(extent, stride, crop), transposed_size(size, extent, stride, padding)


def _shift(size: int, first: int, last: int) -> Move:
    return lambda window: window.through(before=first), size + first + last


def _enlarge(size: int, times: int, interpolation: str) -> Move:
    """Each position many times over; by any interpolation but the nearest's, also a part of a neighbour."""
    kernel, crop = (times, 0) if interpolation == "nearest" or times == 1 else (2 * times - times % 2, times // 2)
    return lambda window: window.through_transposed(kernel, times, crop), size * times


def _sliced(index: Any, sizes: Sequence[int]) -> list[Move]:
    """Every so many positions, as in the shortcuts that only subsample."""
    moves = []
    chosen = [*(index if isinstance(index, tuple) else (index,)), slice(None), slice(None)][1:3]
    for size, part in zip(sizes, chosen, strict=True):
        if not isinstance(part, slice) or (part.step or 1) < 1:
            return []
        start, stop, step = part.indices(size)
        moves.append(_strided(start, step, len(range(start, stop, step))))
    return moves


def _strided(start: int, step: int, size: int) -> Move:
    return lambda window: window.through(stride=step, before=-start), size


def _along(field: Field, moves: Sequence[Move]) -> Field:
    height, width = (window and move(window) for window, (move, _) in zip(field, moves, strict=True))
    return height, width


def _reshaped(field: Field, before: Sizes, after: Sizes) -> Field:
    """The first axis may have been kept, its windows with it: rows of pixels as the steps of a sequence."""
    height, width = field
    if len(before) == 3 and len(after) == 2 and before[0] == after[0]:
        return height, None
    return height and height.adrift(), width and width.adrift()


def _union(fields: Sequence[Field]) -> Field:
    height, width = fields[0]
    for other_height, other_width in fields[1:]:
        height = height and other_height and height.joined(other_height)
        width = width and other_width and width.joined(other_width)
    return height, width


def _recurrent(layer: Any) -> bool:
    return hasattr(layer, "return_sequences")


def _transposed(layer: Any) -> bool:
    return "Transpose" in type(layer).__name__ and hasattr(layer, "kernel_size")


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
