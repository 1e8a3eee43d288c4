"""Pictures that stand in two splits: what is tested on must not have been trained on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from app.data.spec import Array
from app.images import with_channels

CELLS = 16  # rows and columns of the signature
CORRELATION = 0.997  # above for a copy that was re-encoded or scaled, below for two people's slim ones
CHUNK, WIDE_CHUNK = 512, 65_536  # pictures compared with pictures at once
PLAIN = 0  # the digest of a picture of one colour


def count_in_two_splits(splits: Mapping[str, Array]) -> dict[str, int]:
    """How many pictures of a later split stand in an earlier one: `equal` in every pixel, or `near`. Plain ones do not count.

    Near is told by a perceptual signature: grey averages over a grid, brightness and contrast taken out, compared by
    their correlation. A product of matrices compares every pair, so nothing is missed as buckets of bit hashes may.

    Shapes: each split uint8 [N, H, W, C].
    """
    digests = {name: np.array([_digest(picture) for picture in images], np.int64) for name, images in splits.items()}
    signatures = {name: _signatures(images) for name, images in splits.items()}
    equal = near = 0
    for one, other in itertools.combinations(splits, 2):
        same = np.isin(digests[other], digests[one]) & (digests[other] != PLAIN)
        equal += int(same.sum())
        near += int((_alike(signatures[other], signatures[one]) & ~same).sum())
    return {"equal": equal, "near": near}


def _alike(pictures: Array, others: Array) -> Array:
    """Which pictures correlate with any of the others. Shapes: [N, cells], [M, cells] -> bool [N]."""
    found = np.zeros(len(pictures), bool)
    for i in range(0, len(pictures), CHUNK):
        for j in range(0, len(others), WIDE_CHUNK):
            found[i : i + CHUNK] |= (pictures[i : i + CHUNK] @ others[j : j + WIDE_CHUNK].T >= CORRELATION).any(axis=1)
    return found


def _digest(picture: Array) -> int:
    return PLAIN if (picture == picture[0, 0]).all() else hash(picture.tobytes())


def _signatures(images: Array) -> Array:
    """Grid averages with mean 0 and length 1; those of plain pictures are 0 and like nothing.

    Shapes: uint8 [N, H, W, C] -> float32 [N, cells].
    """
    down, across = _shares(images.shape[1]), _shares(images.shape[2]).T
    grids = np.empty((len(images), CELLS * CELLS), np.float32)
    for i in range(0, len(images), CHUNK):
        grey = with_channels(images[i : i + CHUNK], 1)[..., 0].astype(np.float32)
        grids[i : i + CHUNK] = (down @ grey @ across).reshape(len(grey), -1)
    grids -= grids.mean(axis=1, keepdims=True)
    length = np.linalg.norm(grids, axis=1, keepdims=True)
    signatures: Array = np.divide(grids, length, out=np.zeros_like(grids), where=length > CELLS)
    return signatures


def _shares(pixels: int) -> Array:
    """The share of each pixel in each cell. Shapes: float32 [cells, pixels], rows sum to 1."""
    edges = np.linspace(0, pixels, CELLS + 1)
    overlap = np.minimum(edges[1:, None], np.arange(1, pixels + 1)) - np.maximum(edges[:-1, None], np.arange(pixels))
    shares: Array = overlap.clip(0) / overlap.clip(0).sum(axis=1, keepdims=True)
    return shares.astype(np.float32)
