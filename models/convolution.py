"""Convolution and pooling written out: windows of the picture, and a sum or a choice over each.

Everything rests on plain slices: for each place of the window, what it meets as it slides. Shapes are those of Keras:
pictures [B, H, W, C], kernels [rows, columns, C, filters]. `padding` is "valid", "same" as Keras has it, or a number of
zeros on every side.

Source: Dumoulin and Visin 2016, A guide to convolution arithmetic for deep learning.
"""

from functools import reduce
from itertools import chain
from typing import Any

from models.lazy import keras

Pair = tuple[int, int]
Padding = str | int


def windows(
    x: Any, size: Pair, strides: Pair = (1, 1), padding: Padding = "valid", dilation: Pair = (1, 1), fill: float = 0
) -> list[list[Any]]:
    """What stands at each place of the window, as it slides over the picture.

    Args:
        fill: the value of the padding.
    Shapes: [B, H, W, C] -> rows times columns times [B, H', W', C].
    """
    x = padded(x, size, strides, padding, dilation, fill)
    rows, columns = (steps(size[axis], strides[axis], dilation[axis]) for axis in (0, 1))
    return [[x[:, row, column] for column in columns] for row in rows]


def steps(size: int, stride: int, dilation: int) -> list[slice]:
    """For each place of the window along an axis: what it meets there."""
    return [slice(place * dilation, -(size - 1 - place) * dilation or None, stride) for place in range(size)]


def padded(x: Any, size: Pair, strides: Pair, padding: Padding, dilation: Pair = (1, 1), fill: float = 0) -> Any:
    """The picture with what the padding adds. Shapes: [B, H, W, C] -> [B, H + above + below, W + left + right, C]."""
    margins = [margin(x.shape[axis + 1], size[axis], strides[axis], padding, dilation[axis]) for axis in (0, 1)]
    if not any(before or after for before, after in margins):
        return x
    return keras.ops.pad(x, [(0, 0), *margins, (0, 0)], constant_values=fill)


def margin(length: int | None, size: int, stride: int, padding: Padding, dilation: int) -> Pair:
    """Zeros before and after one axis.

    Raises:
        ValueError: "same" with a stride needs to know the length.
    """
    if isinstance(padding, int):
        return padding, padding
    if padding == "valid":
        return 0, 0
    reach = dilation * (size - 1) + 1
    if stride > 1:
        if length is None:
            raise ValueError("padding 'same' with a stride needs pictures of a known size")
        missing = max(0, (-(-length // stride) - 1) * stride + reach - length)
    else:
        missing = reach - 1
    return missing // 2, missing - missing // 2


def correlate2d(x: Any, kernel: Any, strides: Pair = (1, 1), padding: Padding = "valid", dilation: Pair = (1, 1)) -> Any:
    """Cross-correlation, which networks call convolution: the sum of window times kernel, over rows, columns and channels.

    Shapes: [B, H, W, C], [rows, columns, C, filters] -> [B, H', W', filters].
    """
    rows, columns, channels, filters = kernel.shape
    x = padded(x, (rows, columns), strides, padding, dilation)
    # Rows first and then columns: as many copies as their sum, not their product.
    x = keras.ops.concatenate([x[:, row] for row in steps(rows, strides[0], dilation[0])], axis=-1)
    x = keras.ops.concatenate([x[:, :, column] for column in steps(columns, strides[1], dilation[1])], axis=-1)
    by_column = keras.ops.transpose(kernel, (1, 0, 2, 3))
    return keras.ops.tensordot(x, keras.ops.reshape(by_column, (columns * rows * channels, filters)), axes=1)


def convolve2d(x: Any, kernel: Any, strides: Pair = (1, 1), padding: Padding = "valid", dilation: Pair = (1, 1)) -> Any:
    """Convolution as mathematics has it: with the kernel turned by 180 degrees."""
    return correlate2d(x, keras.ops.flip(kernel, axis=(0, 1)), strides, padding, dilation)


def correlate1d(x: Any, kernel: Any, stride: int = 1, padding: Padding = "valid", dilation: int = 1) -> Any:
    """Cross-correlation of sequences: of pictures one column wide.

    Shapes: [B, L, C], [steps, C, filters] -> [B, L', filters].
    """
    before, after = margin(x.shape[1], kernel.shape[0], stride, padding, dilation)
    x = keras.ops.pad(x, [(0, 0), (before, after), (0, 0)])
    return correlate2d(x[:, :, None], kernel[:, None], (stride, 1), "valid", (dilation, 1))[:, :, 0]


def depthwise2d(x: Any, kernel: Any, strides: Pair = (1, 1), padding: Padding = "valid", dilation: Pair = (1, 1)) -> Any:
    """A kernel for each channel, with no sum over channels.

    Shapes: [B, H, W, C], [rows, columns, C, 1] -> [B, H', W', C].
    Source: Howard et al. 2017, section 3.1.
    """
    rows = windows(x, kernel.shape[:2], strides, padding, dilation)
    return sum(seen * kernel[i, j, :, 0] for i, row in enumerate(rows) for j, seen in enumerate(row))


def pointwise2d(x: Any, kernel: Any) -> Any:
    """A 1x1 convolution: the same sum over channels at every place. Shapes: [B, H, W, C], [C, filters] -> [B, H, W, filters]."""
    return keras.ops.tensordot(x, kernel, axes=1)


def transposed2d(x: Any, kernel: Any, strides: Pair = (1, 1), padding: int = 0) -> Any:
    """The transpose of `correlate2d` with the same kernel: each value spreads the kernel, times itself, where it was seen from.

    Shapes: [B, H, W, filters], [rows, columns, C, filters] -> [B, (H - 1) stride + rows - 2 padding, ..., C].
    Source: Dumoulin and Visin 2016, section 4; Zeiler et al. 2010.
    """
    rows, columns = kernel.shape[:2]
    spread = _spread(_spread(x, strides[0], 1), strides[1], 2)
    border = [(0, 0), (rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)]
    turned = keras.ops.transpose(keras.ops.flip(kernel, axis=(0, 1)), (0, 1, 3, 2))
    whole = correlate2d(keras.ops.pad(spread, border), turned)
    return whole[:, padding : whole.shape[1] - padding, padding : whole.shape[2] - padding]


def max_pool2d(x: Any, size: Pair, strides: Pair, padding: Padding = "valid") -> Any:
    """The largest of each window. Shapes: [B, H, W, C] -> [B, H', W', C]."""
    return reduce(keras.ops.maximum, chain(*windows(x, size, strides, padding, fill=-float("inf"))))


def min_pool2d(x: Any, size: Pair, strides: Pair, padding: Padding = "valid") -> Any:
    """The smallest of each window. Shapes: as `max_pool2d`."""
    return reduce(keras.ops.minimum, chain(*windows(x, size, strides, padding, fill=float("inf"))))


def average_pool2d(x: Any, size: Pair, strides: Pair, padding: Padding = "valid") -> Any:
    """The mean of each window, of what is no padding. Shapes: as `max_pool2d`."""
    total = sum(chain(*windows(x, size, strides, padding)))
    if padding == "valid":
        return total / (size[0] * size[1])
    return total / sum(chain(*windows(keras.ops.ones_like(x[:1, :, :, :1]), size, strides, padding)))


def _spread(x: Any, stride: int, axis: int) -> Any:
    """Zeros between the values of an axis, one less than the stride."""
    if stride == 1:
        return x
    between = keras.ops.stack([x, *[keras.ops.zeros_like(x)] * (stride - 1)], axis=axis + 1)
    shape = [-1, *x.shape[1:]]
    shape[axis] *= stride
    whole = keras.ops.reshape(between, shape)
    return keras.ops.take(whole, range(shape[axis] - stride + 1), axis=axis)
