"""Convolution, pooling and their gradients in plain numpy, each as its formula: to read, and to check the fast ones against.

x is what comes in and z what goes out; b counts pictures, r and c rows and columns, k the channels of x, f the filters,
i and j the places of the kernel or window; s is the stride, d the dilation. Shapes are those of Keras: pictures
[B, H, W, C], kernels [rows, columns, C, filters]. `padding` is a number of zeros on every side, or "valid" or "same" as
Keras has them.

Source: Dumoulin and Visin 2016, A guide to convolution arithmetic for deep learning; the gradients by the chain rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from models.sizes import Padding, extent, margins, output_size

Array = Any  # of numpy, whose sums and means are Any to a type checker


def correlate2d(x: Array, kernel: Array, stride: int = 1, padding: Padding = 0, dilation: int = 1) -> Array:
    """Cross-correlation: z[b, r, c, f] = sum over i, j, k of x[b, r s + i d, c s + j d, k] kernel[i, j, k, f].

    Shapes: [B, H, W, C], [rows, columns, C, filters] -> [B, H', W', filters].
    """
    size = kernel.shape[:2]
    x = padded(x, size, stride, padding, dilation)
    return sum(x[seen] @ kernel[i, j] for i, j, seen in places(x, size, stride, dilation))


def convolve2d(x: Array, kernel: Array, stride: int = 1, padding: Padding = 0, dilation: int = 1) -> Array:
    """Convolution as mathematics has it: cross-correlation with the kernel turned by 180 degrees."""
    return correlate2d(x, turned(kernel), stride, padding, dilation)


def correlate1d(x: Array, kernel: Array, stride: int = 1, padding: Padding = 0, dilation: int = 1) -> Array:
    """Cross-correlation of sequences: z[b, r, f] = sum over i, k of x[b, r s + i d, k] kernel[i, k, f].

    Shapes: [B, L, C], [steps, C, filters] -> [B, L', filters].
    """
    steps = len(kernel)
    before, after = margins(x.shape[1], steps, stride, padding, dilation)
    x = np.pad(x, [(0, 0), (before, after), (0, 0)])
    return sum(
        x[:, i * dilation :: stride][:, : _positions(x.shape[1], steps, stride, dilation)] @ kernel[i] for i in range(steps)
    )


def convolve1d(x: Array, kernel: Array, stride: int = 1, padding: Padding = 0, dilation: int = 1) -> Array:
    """Convolution of sequences as mathematics has it: with the kernel from its end."""
    return correlate1d(x, kernel[::-1], stride, padding, dilation)


def depthwise2d(x: Array, kernel: Array, stride: int = 1, padding: Padding = 0, dilation: int = 1) -> Array:
    """A kernel for each channel and no sum over channels: z[.., k] is x[.., k] with kernel[.., k].

    Shapes: [B, H, W, C], [rows, columns, C, 1] -> [B, H', W', C].
    """
    channels = [slice(k, k + 1) for k in range(x.shape[-1])]
    return np.concatenate([correlate2d(x[..., k], kernel[:, :, k], stride, padding, dilation) for k in channels], axis=-1)


def pointwise2d(x: Array, kernel: Array) -> Array:
    """A 1x1 convolution: the same sum over channels at every place. Shapes: [B, H, W, C], [C, filters] -> [B, H, W, filters]."""
    return x @ kernel


def transposed2d(z: Array, kernel: Array, stride: int = 1, padding: int = 0, dilation: int = 1) -> Array:
    """The transpose of `correlate2d`: z set apart by the stride, correlated with the kernel turned, its channels changed over.

    Shapes: [B, H', W', filters], [rows, columns, C, filters] -> [B, (H' - 1) s + d (rows - 1) + 1 - 2 padding, .., C].
    """
    rows, columns = (extent(size, dilation) - 1 for size in kernel.shape[:2])
    apart = np.pad(set_apart(z, stride), [(0, 0), (rows, rows), (columns, columns), (0, 0)])
    x = correlate2d(apart, turned(kernel).swapaxes(2, 3), dilation=dilation)
    return x[:, padding : x.shape[1] - padding, padding : x.shape[2] - padding]


def kernel_gradient(
    x: Array, dz: Array, size: tuple[int, int], stride: int = 1, padding: Padding = 0, dilation: int = 1
) -> Array:
    """dL/dW = X * dL/dZ: x correlated with dz, which takes the kernel's place; stride and dilation change theirs.

    dW[i, j, k, f] = sum over b, r, c of x[b, i d + r s, j d + c s, k] dz[b, r, c, f].

    Args:
        size: rows and columns of the kernel. Positions beyond are of pixels that the stride left over.
    Shapes: [B, H, W, C], [B, H', W', filters] -> [rows, columns, C, filters].
    """
    x = padded(x, size, stride, padding, dilation)
    # The sum goes over pictures now, so they stand where channels stood, and channels where pictures did.
    by_channel = correlate2d(x.transpose(3, 1, 2, 0), dz.transpose(1, 2, 0, 3), stride=dilation, dilation=stride)
    return by_channel.transpose(1, 2, 0, 3)[: size[0], : size[1]]


def bias_gradient(dz: Array) -> Array:
    """dL/db, the sum of dL/dZ: a bias is added at every place of every picture. Shapes: [B, H', W', filters] -> [filters]."""
    return dz.sum(axis=(0, 1, 2))


def picture_gradient(
    dz: Array, kernel: Array, shape: tuple[int, int], stride: int = 1, padding: Padding = 0, dilation: int = 1
) -> Array:
    """dL/dX: the transposed convolution of dL/dZ, that is dz set apart and correlated with the kernel turned by 180 degrees.

    Args:
        shape: rows and columns of the picture. Those that the stride left over have no part in the loss.
    Shapes: [B, H', W', filters], [rows, columns, C, filters] -> [B, H, W, C].
    """
    dx = transposed2d(dz, kernel, stride, dilation=dilation)
    return cropped(dx, shape, kernel.shape[:2], stride, padding, dilation)


def max_pool2d(x: Array, size: int, stride: int, padding: Padding = 0) -> Array:
    """The largest of each window. Shapes: [B, H, W, C] -> [B, H', W', C]."""
    return windows(x, size, stride, padding, fill=-np.inf).max(axis=0)


def min_pool2d(x: Array, size: int, stride: int, padding: Padding = 0) -> Array:
    """The smallest of each window. Shapes: as `max_pool2d`."""
    return windows(x, size, stride, padding, fill=np.inf).min(axis=0)


def average_pool2d(x: Array, size: int, stride: int, padding: Padding = 0) -> Array:
    """The mean of each window, of what is no padding. Shapes: as `max_pool2d`."""
    return np.nanmean(windows(x, size, stride, padding, fill=np.nan), axis=0)


def max_pool_gradient(x: Array, dz: Array, size: int, stride: int, padding: Padding = 0) -> Array:
    """dL/dX of `max_pool2d`: each dz goes to the largest of its window, the first of equal ones."""
    chosen = windows(x, size, stride, padding, fill=-np.inf).argmax(axis=0)
    return shared_out([dz * (chosen == place) for place in range(size * size)], x.shape[1:3], size, stride, padding)


def min_pool_gradient(x: Array, dz: Array, size: int, stride: int, padding: Padding = 0) -> Array:
    """dL/dX of `min_pool2d`: each dz goes to the smallest of its window, the first of equal ones."""
    chosen = windows(x, size, stride, padding, fill=np.inf).argmin(axis=0)
    return shared_out([dz * (chosen == place) for place in range(size * size)], x.shape[1:3], size, stride, padding)


def average_pool_gradient(x: Array, dz: Array, size: int, stride: int, padding: Padding = 0) -> Array:
    """dL/dX of `average_pool2d`: each dz is spread evenly over the pixels of its window."""
    inside = ~np.isnan(windows(x, size, stride, padding, fill=np.nan))
    return shared_out(list(dz * inside / inside.sum(axis=0)), x.shape[1:3], size, stride, padding)


def windows(x: Array, size: int, stride: int, padding: Padding, fill: float) -> Array:
    """What stands at each place of a square window as it slides, row by row. Shapes: [B, H, W, C] -> [size^2, B, H', W', C]."""
    x = padded(x, (size, size), stride, padding, 1, fill)
    return np.stack([x[seen] for _, _, seen in places(x, (size, size), stride)])


def shared_out(shares: list[Array], shape: tuple[int, int], size: int, stride: int, padding: Padding) -> Array:
    """The way back from `windows`: shares of neighbours add up where their windows overlap. Shapes: [B, H', W', C] each."""
    like = np.empty((shares[0].shape[0], *shape, shares[0].shape[-1]))
    x = np.zeros_like(padded(like, (size, size), stride, padding))
    for share, (_, _, seen) in zip(shares, places(x, (size, size), stride), strict=True):
        x[seen] += share
    return cropped(x, shape, (size, size), stride, padding)


def places(x: Array, size: tuple[int, int], stride: int = 1, dilation: int = 1) -> Iterator[tuple[int, int, Any]]:
    """Each place i, j of a kernel, and the pixels of x that it meets: rows r s + i d, columns c s + j d."""
    rows, columns = (_positions(x.shape[axis + 1], size[axis], stride, dilation) for axis in (0, 1))
    for i, j in np.ndindex(size):
        down, across = np.arange(rows) * stride + i * dilation, np.arange(columns) * stride + j * dilation
        yield i, j, (slice(None), down[:, None], across)


def padded(x: Array, size: tuple[int, int], stride: int, padding: Padding, dilation: int = 1, fill: float = 0) -> Array:
    """The picture with what the padding adds. Shapes: [B, H, W, C] -> [B, H + above + below, W + left + right, C]."""
    around = [margins(x.shape[axis + 1], size[axis], stride, padding, dilation) for axis in (0, 1)]
    return np.pad(x, [(0, 0), *around, (0, 0)], constant_values=fill)


def cropped(x: Array, shape: tuple[int, int], size: tuple[int, int], stride: int, padding: Padding, dilation: int = 1) -> Array:
    """The picture without what the padding added, zeros where nothing came to lie. Shapes: [B, .., .., C] -> [B, H, W, C]."""
    whole = padded(np.zeros((len(x), *shape, x.shape[3]), x.dtype), size, stride, padding, dilation)
    whole[:, : x.shape[1], : x.shape[2]] = x
    above, left = (margins(shape[axis], size[axis], stride, padding, dilation)[0] for axis in (0, 1))
    return whole[:, above : above + shape[0], left : left + shape[1]]


def turned(kernel: Array) -> Array:
    """The kernel turned by 180 degrees."""
    return kernel[::-1, ::-1]


def set_apart(z: Array, stride: int) -> Array:
    """The picture with stride - 1 zeros between neighbours. Shapes: [B, H, W, C] -> [B, (H - 1) s + 1, (W - 1) s + 1, C]."""
    rows, columns = ((length - 1) * stride + 1 for length in z.shape[1:3])
    apart = np.zeros((len(z), rows, columns, z.shape[3]), z.dtype)
    apart[:, ::stride, ::stride] = z
    return apart


def _positions(length: int, size: int, stride: int, dilation: int) -> int:
    """Positions that a kernel has along an axis.

    Raises:
        ValueError: there is none.
    """
    positions = output_size(length, size, stride, dilation=dilation)
    if positions < 1:
        raise ValueError(f"a kernel that reaches over {extent(size, dilation)} pixels has no place on {length}")
    return positions
