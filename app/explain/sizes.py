"""How large the output of a convolution is, and how much of the picture one of its positions sees. Whole numbers only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Positions that a kernel has along an axis with `padding` zeros on both sides: floor((n + 2p - d(k - 1) - 1) / s) + 1.

    Source: Dumoulin and Visin 2016, relationship 15.
    """
    return (size + 2 * padding - extent(kernel, dilation)) // stride + 1


def extent(kernel: int, dilation: int = 1) -> int:
    """Positions from the first to the last element of a dilated kernel."""
    return dilation * (kernel - 1) + 1


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after with which there are ceil(n / s) positions: as few as that takes, the odd one after."""
    total = max((-(-size // stride) - 1) * stride + extent(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def keras_size(size: int, kernel: int, stride: int = 1, padding: str = "valid", dilation: int = 1) -> int:
    """The same for Keras' paddings, "valid" and "same"."""
    zeros = sum(same_padding(size, kernel, stride, dilation)) if padding == "same" else 0
    return output_size(size + zeros, kernel, stride, 0, dilation)


def transposed_size(size: int, kernel: int, stride: int = 1, padding: str = "valid", dilation: int = 1) -> int:
    """Positions of a transposed convolution's output: s(n - 1) + d(k - 1) + 1, or s n if the padding is "same".

    A kernel shorter than its stride leaves the last positions empty; Keras keeps them.

    Source: Dumoulin and Visin 2016, relationship 13.
    """
    if padding == "same":
        return size * stride
    return stride * (size - 1) + max(extent(kernel, dilation), stride)


def transposed_crop(kernel: int, stride: int = 1, padding: str = "valid", dilation: int = 1) -> int:
    """Positions cut off before the output of a transposed convolution: what its convolution would have padded."""
    return max(extent(kernel, dilation) - stride, 0) // 2 if padding == "same" else 0


@dataclass(frozen=True)
class Window:
    """The pixels that each position along one axis of a feature map sees: its receptive field.

    Position i sees `first[i]` to `last[i]`; after `len(first)` positions the same repeats, `advance` pixels on. One
    pair is enough until a transposed convolution makes the map finer than what it came from: then neighbours see the
    same pixels, or one more. Pixels are counted from the picture's first and go on beyond its edges, so that a field
    may be larger than the picture.

    Args:
        advance: pixels; 0: it is not known where in the picture a position looks, only how far.
    Source: Araujo, Norris, Sim 2019, "Computing receptive fields of convolutional neural networks", equations 1 to 5.
    """

    first: tuple[int, ...] = (0,)
    last: tuple[int, ...] = (0,)
    advance: int = 1

    @property
    def size(self) -> int:
        """Pixels of the largest."""
        return max(0, *(last - first + 1 for first, last in zip(self.first, self.last, strict=True)))

    @property
    def jump(self) -> Fraction:
        """Pixels from one position to the next."""
        return Fraction(self.advance, len(self.first))

    @property
    def start(self) -> int:
        """The first pixel that position 0 sees, negative in the padding."""
        return self.first[0]

    def span(self, index: int) -> tuple[int, int]:
        """The first and the last pixel that a position sees, beyond the picture's edges too."""
        return self._at(self.first, index), self._at(self.last, index)

    def through(self, kernel: int = 1, stride: int = 1, before: int = 0, dilation: int = 1) -> Window | None:
        """What the output of a convolution or pooling sees, with `before` zeros ahead (negative: cut off); None: everything.

        For a single pair: size + d(k - 1) jump, jump s, start - p jump.
        """
        if not self.advance:
            return self if kernel == 1 else None
        period = len(self.first) // math.gcd(len(self.first), stride)
        taps = [index * stride - before for index in range(period)]
        first = tuple(self._at(self.first, tap) for tap in taps)
        last = tuple(self._at(self.last, tap + extent(kernel, dilation) - 1) for tap in taps)
        return Window(first, last, self.advance * stride * period // len(self.first))

    def through_transposed(self, kernel: int, stride: int, crop: int = 0) -> Window | None:
        """What the output of a transposed convolution sees, with `crop` positions cut off ahead.

        Output o is made from the inputs i with 0 <= o + crop - s i < k.
        """
        if not self.advance:
            return self if kernel == 1 else None
        places = [index + crop for index in range(len(self.first) * stride)]
        first = tuple(self._at(self.first, -((kernel - 1 - place) // stride)) for place in places)
        last = tuple(self._at(self.last, place // stride) for place in places)
        return Window(first, last, self.advance)

    def joined(self, other: Window) -> Window | None:
        """What a position sees that is made from that position of two maps; None if they do not keep step."""
        if not (self.advance and other.advance):
            return self.adrift(other)
        if self.jump != other.jump:
            return None
        period = math.lcm(len(self.first), len(other.first))
        first = tuple(min(self._at(self.first, i), other._at(other.first, i)) for i in range(period))
        last = tuple(max(self._at(self.last, i), other._at(other.last, i)) for i in range(period))
        return Window(first, last, self.advance * period // len(self.first))

    def adrift(self, other: Window | None = None) -> Window:
        """As large as the larger of them, no longer known where: after a Reshape."""
        return Window((0,), (max(self.size, other.size if other else 0) - 1,), 0)

    def _at(self, values: tuple[int, ...], index: int) -> int:
        rounds, place = divmod(index, len(values))
        return values[place] + rounds * self.advance
