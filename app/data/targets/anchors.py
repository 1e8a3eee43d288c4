"""Anchors that fit the boxes of a data set."""

from __future__ import annotations

import numpy as np

from app.data.spec import Array

MOST, ROUNDS, STARTS = 20_000, 100, 5  # boxes looked at, steps of one search, and searches of which the best is kept
LEAST = 1.0  # pixels of a side


def find_anchors(boxes: Array, height: int, width: int, count: int = 9, seed: int = 0) -> str:
    """Sizes in pixels as `10x13,16x30,...`, width first, by area: those that the boxes have most in common with.

    Where a data set has fewer sizes than that, the others are its sizes enlarged. Without any box: an empty text.

    Args:
        boxes: annotations [N, M, 6]; ignored ones and those without an area are left out.
        height, width: pixels of the picture that the network sees.
    Source: Redmon and Farhadi 2017, section 2: k-means with the intersection over union of two sizes as their nearness.
    """
    real = (boxes[..., 4] >= 0) & (boxes[..., 5] == 0) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    chosen = boxes[real].astype(np.float64)
    sides = np.stack([(chosen[:, 3] - chosen[:, 1]) * width, (chosen[:, 2] - chosen[:, 0]) * height], axis=-1).clip(LEAST)
    if not len(sides):
        return ""
    rng = np.random.default_rng((seed, 23))
    if len(sides) > MOST:
        sides = sides[np.sort(rng.choice(len(sides), MOST, replace=False))]
    distinct = np.unique(sides, axis=0)
    for step in range(1, count):
        if len(distinct) >= count:
            break
        distinct = np.unique(np.concatenate([distinct, distinct * (1 + step / 2)]), axis=0)
    searches = [_search(sides, distinct, count, rng) for _ in range(STARTS)]
    best = max(searches, key=lambda centres: float(_nearness(sides, centres).max(axis=1).mean()))
    best = best[np.argsort(best.prod(axis=1), kind="stable")]
    return ",".join(f"{one:.1f}x{other:.1f}".replace(".0", "") for one, other in best)


def _search(sides: Array, distinct: Array, count: int, rng: np.random.Generator) -> Array:
    """Lloyd's steps from starts that are far from each other, until nothing moves."""
    centres: Array = distinct[rng.integers(len(distinct))][None]
    while len(centres) < count:
        far = 1 - _nearness(distinct, centres).max(axis=1)
        centres = np.concatenate([centres, distinct[rng.choice(len(distinct), p=far / far.sum())][None]])
    for _ in range(ROUNDS):
        nearest = _nearness(sides, centres).argmax(axis=1)
        # A centre that nothing is nearest to stays where it is.
        moved = np.stack([sides[nearest == n].mean(axis=0) if (nearest == n).any() else centres[n] for n in range(count)])
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres


def _nearness(sides: Array, centres: Array) -> Array:
    """Intersection over union of sizes laid upon each other. Shapes: [N, 2], [K, 2] -> [N, K]."""
    common = np.minimum(sides[:, None], centres).prod(axis=-1)
    share: Array = common / (sides.prod(axis=-1)[:, None] + centres.prod(axis=-1) - common)
    return share
