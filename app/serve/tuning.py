"""Measures at warm-up how many pictures are worth running together, and whether a thread is worth its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SIZES = (1, 2, 4, 8, 16, 32)
WORTH = 0.9  # what the largest batch has to save, for a picture, over a smaller one that would do
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
    """Runs pictures of nothing in growing batches; the smallest that is about as cheap as any is the largest worth running.

    Args:
        run: float32 [N, *shape] to outputs.
    """
    run(np.zeros((1, *shape), np.float32))  # the first one allocates
    found: dict[int, float] = {}
    spent = 0.0
    for size in SIZES:
        if found and spent + 2 * size * min(found.values()) > BUDGET_SECONDS:
            break
        found[size] = _seconds(run, size, shape)
        spent += found[size] * size * REPEATS
    cheapest = min(found.values())
    batch = min(size for size, seconds in found.items() if seconds * WORTH <= cheapest)
    return Tuning(batch, found[batch] < INLINE_SECONDS, found[batch])


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
