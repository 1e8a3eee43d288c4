"""How much of the picture one position of a layer sees. Whole numbers only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from models.sizes import extent


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
