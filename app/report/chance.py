"""How far an accuracy can be trusted, given how many pictures it was measured on."""

from __future__ import annotations

import math

Z = 1.959964  # 95 % of a normal distribution lies within so many standard deviations


def interval(share: float, pictures: int) -> tuple[float, float]:
    """The 95 % interval of a share that was measured on so many pictures.

    Source: Wilson 1927.
    """
    spread = Z * Z / pictures
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / pictures + spread / (4 * pictures))
    return max(0.0, centre - half), min(1.0, centre + half)


def smallest_difference(share: float, pictures: int) -> float:
    """About how far two accuracies near `share` must lie apart before it is unlikely to be chance."""
    return Z * math.sqrt(2 * share * (1 - share) / pictures)
