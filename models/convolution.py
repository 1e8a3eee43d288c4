"""Convolution and pooling written out over `keras.ops`: windows of a picture by slices, then one multiplication of matrices.

Everything here takes sequences [B, N, C] and pictures [B, H, W, C] alike: the kernel says how many axes there are. Sizes and
`padding="same"` are as Keras has them, and so are the shapes of kernels, so that weights can be exchanged.

Source: Dumoulin, Visin 2016, for the arithmetic of strides, padding, dilation and transposition.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from models.lazy import keras
from models.sizes import Padding, margins, transposed_size

Steps = int | Sequence[int]


def correlate(x: Any, kernel: Any, strides: Steps = 1, padding: Padding = "valid", dilation: Steps = 1) -> Any:
    """Cross-correlation, which deep learning calls convolution: every window of all channels, times the kernel.

    Shapes: [B, *N, C] with [*k, C, F] -> [B, *M, F], with M = floor((N + 2p - d(k - 1) - 1) / s) + 1.
    """
    *size, channels, filters = kernel.shape
    seen = windows(padded(x, size, strides, padding, dilation), size, strides, dilation)
    matrix = keras.ops.reshape(seen, (-1, math.prod(size) * channels))
    answers = keras.ops.matmul(matrix, keras.ops.reshape(kernel, (-1, filters)))
    return keras.ops.reshape(answers, (-1, *keras.ops.shape(seen)[1:-1], filters))


def convolve(x: Any, kernel: Any, strides: Steps = 1, padding: Padding = "valid", dilation: Steps = 1) -> Any:
    """Convolution as mathematics has it: cross-correlation with the kernel turned by 180 degrees.

    Shapes: as `correlate`.
    """
    return correlate(x, turned(kernel), strides, padding, dilation)


def depthwise(x: Any, kernel: Any, strides: Steps = 1, padding: Padding = "valid", dilation: Steps = 1) -> Any:
    """Cross-correlation of each channel by itself, with `multiplier` kernels for each.

    Shapes: [B, *N, C] with [*k, C, multiplier] -> [B, *M, C * multiplier].
    Source: Howard et al. 2017, section 3.1.
    """
    *size, channels, multiplier = kernel.shape
    seen = windows(padded(x, size, strides, padding, dilation), size, strides, dilation)
    taps = math.prod(size)
    each = keras.ops.einsum(
        "ntc,tcm->ncm",
        keras.ops.reshape(seen, (-1, taps, channels)),
        keras.ops.reshape(kernel, (taps, channels, multiplier)),
    )
    return keras.ops.reshape(each, (-1, *keras.ops.shape(seen)[1:-1], channels * multiplier))


def pointwise(x: Any, kernel: Any) -> Any:
    """The 1x1 convolution: one dense layer at every place.

    Shapes: [B, *N, C] with [C, F] -> [B, *N, F].
    Source: Lin, Chen, Yan 2013.
    """
    return keras.ops.matmul(x, kernel)


def transpose(x: Any, kernel: Any, strides: Steps = 1, padding: Padding = "valid", dilation: Steps = 1) -> Any:
    """Transposed convolution: what a convolution with this kernel does to the gradient, so that small maps become large.

    Zeros are put between the inputs, and the turned kernel runs over them with stride 1.

    Shapes: [B, *N, C] with [*k, F, C] -> [B, *M, F], with M by `transposed_size`.
    Raises:
        ValueError: the padding takes away more than the kernel adds.
    """
    *size, _, _ = kernel.shape
    around = []
    for k, n, s, d in zip(size, x.shape[1:-1], each_axis(strides, size), each_axis(dilation, size), strict=True):
        wanted, reach = transposed_size(n, k, s, padding, d), d * (k - 1)
        before = reach - margins(wanted, k, s, padding, d)[0]
        if before < 0:
            raise ValueError(f"a padding of {padding} takes more than a kernel of {k} adds")
        around.append((before, wanted + reach - before - (s * (n - 1) + 1)))
    spread = keras.ops.pad(dilated(x, each_axis(strides, size)), [(0, 0), *around, (0, 0)])
    return correlate(spread, keras.ops.swapaxes(turned(kernel), -1, -2), dilation=dilation)


def max_pool(x: Any, size: Sequence[int], strides: Steps, padding: Padding = "valid") -> Any:
    """The largest of each window; the gradient goes to the first that is largest.

    Shapes: [B, *N, C] -> [B, *M, C].
    """
    return _pool(padded(x, size, strides, padding, fill=-math.inf), size, strides, keras.ops.maximum)


def min_pool(x: Any, size: Sequence[int], strides: Steps, padding: Padding = "valid") -> Any:
    """The smallest of each window; the gradient goes to the first that is smallest.

    Shapes: [B, *N, C] -> [B, *M, C].
    """
    return _pool(padded(x, size, strides, padding, fill=math.inf), size, strides, keras.ops.minimum)


def average_pool(x: Any, size: Sequence[int], strides: Steps, padding: Padding = "valid") -> Any:
    """The mean of each window, of what lies in the picture alone: padding counts for nothing.

    Shapes: [B, *N, C] -> [B, *M, C].
    """
    wide = padded(x, size, strides, padding)
    total = _pool(wide, size, strides, keras.ops.add)
    if wide is x:
        return total / math.prod(size)
    inside = padded(keras.ops.ones_like(x[:1, ..., :1]), size, strides, padding)
    return total / _pool(inside, size, strides, keras.ops.add)


def windows(x: Any, size: Sequence[int], strides: Steps = 1, dilation: Steps = 1) -> Any:
    """What a kernel of a size sees at each of its places, row by row.

    One slice for each tap holds that tap's input at all places at once. Sliced along one axis after the other, a kernel of
    k x k needs 2k slices in place of k^2, and the gradient as many fewer sums: a third less time on a CPU.

    Shapes: [B, *N, C] -> [B, *M, k * ... * k * C], the last as a kernel [*k, C, F] flattened.
    """
    strides, dilation = each_axis(strides, size), each_axis(dilation, size)
    for axis in reversed(range(len(size))):
        k, s, d = size[axis], strides[axis], dilation[axis]
        x = keras.ops.concatenate([_tap(x, axis + 1, d * tap, d * (k - 1), s) for tap in range(k)], axis=-1)
    return x


def padded(x: Any, size: Sequence[int], strides: Steps, padding: Padding, dilation: Steps = 1, fill: float = 0.0) -> Any:
    """The input with margins of `fill`, or the very same where there are none.

    Shapes: [B, *N, C] -> [B, *(N + margins), C].
    """
    strides, dilation = each_axis(strides, size), each_axis(dilation, size)
    sides = zip(x.shape[1:-1], size, strides, dilation, strict=True)
    around = [margins(n, k, s, padding, d) for n, k, s, d in sides]
    if not any(before or after for before, after in around):
        return x
    return keras.ops.pad(x, [(0, 0), *around, (0, 0)], constant_values=fill)


def turned(kernel: Any) -> Any:
    """A kernel turned by 180 degrees: each of its axes of space backwards.

    Shapes: [*k, C, F] -> the same.
    """
    return keras.ops.flip(kernel, axis=tuple(range(len(kernel.shape) - 2)))


def dilated(x: Any, strides: Sequence[int]) -> Any:
    """The input with `stride - 1` zeros between neighbours.

    Shapes: [B, *N, C] -> [B, *(s(N - 1) + 1), C].
    """
    for axis, stride in enumerate(strides, 1):
        if stride > 1:
            shape = list(keras.ops.shape(x))
            apart = [(0, 0)] * (len(shape) + 1)
            apart[axis + 1] = (0, stride - 1)
            x = keras.ops.pad(keras.ops.expand_dims(x, axis + 1), apart)
            x = keras.ops.reshape(x, (-1, *shape[1:axis], shape[axis] * stride, *shape[axis + 1 :]))
            x = _tap(x, axis, 0, stride - 1, 1)
    return x


def each_axis(value: Steps, size: Sequence[int]) -> tuple[int, ...]:
    """A number as one for each axis of the kernel; several stay as they are."""
    return (value,) * len(size) if isinstance(value, int) else tuple(value)


def _pool(x: Any, size: Sequence[int], strides: Steps, join: Callable[[Any, Any], Any]) -> Any:
    """Each window joined to one, along one axis after the other: 2k slices in place of k^2.

    The last axis goes first, so that the first of equal values is the one that comes first row by row, as for Keras.
    """
    strides = each_axis(strides, size)
    for axis in reversed(range(len(size))):
        x = functools.reduce(join, [_tap(x, axis + 1, tap, size[axis] - 1, strides[axis]) for tap in range(size[axis])])
    return x


def _tap(x: Any, axis: int, start: int, reach: int, stride: int) -> Any:
    """What one tap of a kernel with this reach sees, all places of an axis at once: x[..., start : end : stride, ...].

    Cut out and reshaped, because the gradient of a slice with steps takes TensorFlow several times as long on a CPU.
    """
    shape = list(keras.ops.shape(x))
    places = (shape[axis] - reach - 1) // stride + 1
    if stride == 1:
        return _cut(x, axis, start, places)
    x = keras.ops.pad(x, [(0, 0)] * axis + [(0, -shape[axis] % stride)] + [(0, 0)] * (len(shape) - axis - 1))
    x = keras.ops.reshape(x, (-1, *shape[1:axis], (shape[axis] - 1) // stride + 1, stride, *shape[axis + 1 :]))
    tap = _cut(_cut(x, axis, start // stride, places), axis + 1, start % stride, 1)
    return keras.ops.squeeze(tap, axis + 1)


def _cut(x: Any, axis: int, start: int, count: int) -> Any:
    """So many from one axis."""
    starts, shape = [0] * len(x.shape), list(keras.ops.shape(x))
    starts[axis], shape[axis] = start, count
    return keras.ops.slice(x, starts, shape)
