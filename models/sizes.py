"""How large the output of a convolution is: whole numbers along one axis.

`padding` is "valid", "same" as Keras has it, or a number of zeros on both sides.

Source: Dumoulin, Visin 2016, A guide to convolution arithmetic for deep learning.
"""

Padding = int | str


def extent(kernel: int, dilation: int = 1) -> int:
    """Positions from the first to the last element of a dilated kernel."""
    return dilation * (kernel - 1) + 1


def margins(size: int | None, kernel: int, stride: int = 1, padding: Padding = "valid", dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after; with "same" as few as make ceil(n / s) positions, the odd one after.

    Raises:
        ValueError: another word, or "same" with a stride and the size is not known.
    """
    if isinstance(padding, int):
        return padding, padding
    if padding == "valid":
        return 0, 0
    if padding != "same":
        raise ValueError(f"no padding {padding!r}; it is 'valid', 'same' or a number of zeros")
    if size is None and stride > 1:
        raise ValueError('padding="same" with a stride needs a size that is known')
    positions = -(-(size or 1) // stride)
    missing = max((positions - 1) * stride + extent(kernel, dilation) - (size or 1), 0)
    return missing // 2, missing - missing // 2


def output_size(size: int, kernel: int, stride: int = 1, padding: Padding = 0, dilation: int = 1) -> int:
    """Positions that a kernel has: floor((n + 2p - d(k - 1) - 1) / s) + 1; with "same" ceil(n / s).

    Source: relationship 15.
    """
    return (size + sum(margins(size, kernel, stride, padding, dilation)) - extent(kernel, dilation)) // stride + 1


def transposed_size(size: int, kernel: int, stride: int = 1, padding: Padding = "valid", dilation: int = 1) -> int:
    """Positions of a transposed convolution's output: s(n - 1) + d(k - 1) + 1 - 2p; with "same" s n.

    A kernel shorter than its stride leaves the last positions empty; with "valid" Keras keeps them.

    Source: relationship 13.
    """
    if padding == "same":
        return size * stride
    if padding == "valid":
        return stride * (size - 1) + max(extent(kernel, dilation), stride)
    return stride * (size - 1) + extent(kernel, dilation) - sum(margins(size, kernel, stride, padding, dilation))


def transposed_crop(kernel: int, stride: int = 1, padding: Padding = "valid", dilation: int = 1) -> int:
    """Positions cut off before the output of a transposed convolution: what its convolution would have padded."""
    return max(extent(kernel, dilation) - stride, 0) // 2 if padding == "same" else 0
