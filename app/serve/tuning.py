"""Measures at warm-up how many pictures are worth running together, and whether a thread is worth its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SIZES = (1, 2, 4, 8, 16, 32)
WORTH = 0.9  # a larger batch has to make a picture this much cheaper
REPEATS = 5
BUDGET_SECONDS = 0.2  # of measuring; what is not measured by then is too slow for larger batches to matter
INLINE_SECONDS = 100e-6  # a picture: about what handing work to a thread and back costs


@dataclass(frozen=True)
class Tuning:
    """What was found.

    Args:
        batch: the largest number of pictures that is run together.
        inline: so quick that it runs in the event loop.
        picture_seconds: of one in such a batch.
    """

    batch: int
    inline: bool
    picture_seconds: float


def tune(run: Callable[[np.ndarray[Any, Any]], Any], shape: tuple[int, int, int]) -> Tuning:
    """Runs pictures of nothing, in growing batches, until they get no cheaper.

    Args:
        run: float32 [N, *shape] to outputs.
    """
    run(np.zeros((1, *shape), np.float32))  # the first one allocates
    best, cheapest = 1, _seconds(run, 1, shape)
    spent = cheapest * REPEATS
    for size in SIZES[1:]:
        if spent + 2 * size * cheapest > BUDGET_SECONDS:
            break
        seconds = _seconds(run, size, shape)
        spent += seconds * size * REPEATS
        if seconds < WORTH * cheapest:
            best, cheapest = size, seconds
    return Tuning(best, cheapest < INLINE_SECONDS, cheapest)


def _seconds(run: Callable[[np.ndarray[Any, Any]], Any], size: int, shape: tuple[int, int, int]) -> float:
    """Of one picture in a batch: the least of some tries, because what disturbs only ever adds."""
    images = np.zeros((size, *shape), np.float32)
    found = []
    end = time.perf_counter() + BUDGET_SECONDS / 4
    for _ in range(REPEATS):
        began = time.perf_counter()
        run(images)
        found.append(time.perf_counter() - began)
        if time.perf_counter() > end:
            break
    return min(found) / size
