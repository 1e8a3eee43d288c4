"""Operations on pictures with boxes: the boxes go where their pixels go.

An operation takes pictures float32 [B, H, W, C] in 0..255, boxes and a generator, and gives new pictures and boxes.

Boxes: float32 [B, M, 6], ymin, xmin, ymax, xmax as fractions of the picture, class, ignored; padding has class -1.
"""

from __future__ import annotations

import numpy as np

from app.data.augment import geometry
from app.data.spec import Array

VISIBLE = 0.3  # the least share of a box that has to stay in the picture
SMALLEST = 2.0  # pixels: what is left of a box on either side
ROUNDED_TO = 8  # boxes: arrays that had to grow come in few lengths
PADDING = np.array([0, 0, 0, 0, -1, 0], np.float32)
QUARTERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])  # of a mosaic: lower or not, right or not


def flip(images: Array, boxes: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Mirrors half of the pictures, left to right."""
    return _mirrored(images, boxes, rng, axis=1)


def flip_vertical(images: Array, boxes: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Turns half of the pictures upside down, as a mirror does: for what has no up, as under a microscope."""
    return _mirrored(images, boxes, rng, axis=0)


def _mirrored(images: Array, boxes: Array, rng: np.random.Generator, axis: int) -> tuple[Array, Array]:
    chosen = rng.random(len(images)) < 0.5
    moved = boxes.copy()
    moved[..., axis], moved[..., axis + 2] = 1 - boxes[..., axis + 2], 1 - boxes[..., axis]
    there = chosen[:, None] & (boxes[..., 4] >= 0)
    return geometry.mirror(images, chosen, axis + 1), np.where(there[..., None], moved, boxes)


def affine(
    images: Array,
    boxes: Array,
    rng: np.random.Generator,
    *,
    scale: tuple[float, float] = (0.7, 1.4),
    share: float = 0.05,
    degrees: float = 0.0,
) -> tuple[Array, Array]:
    """Scales, moves and turns; what comes in has the picture's mean colour. A turned box is the one around its corners.

    Args:
        scale, share, degrees: see `geometry.draw_placement`.
    """
    batch, height, width, _ = images.shape
    back, shown = geometry.draw_placement(rng, batch, height, width, scale=scale, share=share, degrees=degrees)
    placed = geometry.place(images, back, shown, geometry.mean_colour(images))
    size = np.array([height, width])
    corners = boxes[..., [[0, 1], [0, 3], [2, 1], [2, 3]]] * size - (size / 2 + shown[:, None, None])
    moved = np.einsum("bij,bmkj->bmki", np.linalg.inv(back), corners) + size / 2
    around = np.concatenate([moved.min(axis=2), moved.max(axis=2)], axis=-1)
    return placed, _cut(boxes, around, np.zeros(2), size, size)


def mosaic(
    images: Array, boxes: Array, rng: np.random.Generator, *, share: float = 0.5, margin: float = 0.25
) -> tuple[Array, Array]:
    """Joins windows of four pictures of the batch, of the picture itself among them, around a point anywhere.

    Args:
        share: of the pictures.
        margin: the least distance of that point from the edges, of the side.
    Shapes: [B, M, 6] -> [B, M, 6], or longer where a picture has more boxes than that now.
    Source: Bochkovskiy et al. 2020, section 3.3; the windows lie anywhere, as in Takahashi et al. 2018.
    """
    batch, size = len(images), np.array(images.shape[1:3])
    chosen = np.flatnonzero(rng.random(batch) < share)
    count, most = len(chosen), boxes.shape[1]
    sources = rng.integers(0, batch, (count, 4))
    sources[np.arange(count), rng.integers(0, 4, count)] = chosen
    point = np.rint(rng.uniform(margin, 1 - margin, (count, 1, 2)) * size).astype(int)
    first, last = point * QUARTERS, np.where(QUARTERS, size, point)  # rows and columns of the four parts
    window = np.floor(rng.random((count, 4, 2)) * (size - (last - first) + 1)).astype(int)
    joined = images.copy()
    for i, part in np.ndindex(count, 4):
        (top, left), (bottom, right), (row, column) = first[i, part], last[i, part], window[i, part]
        source = images[sources[i, part], row : row + bottom - top, column : column + right - left]
        joined[chosen[i], top:bottom, left:right] = source
    taken = boxes[sources]  # [count, 4, M, 6]
    moved = taken[..., :4] * np.tile(size, 2) + np.tile(first - window, 2)[:, :, None]
    parts = _cut(taken, moved, first[:, :, None], last[:, :, None], size)
    longer = np.tile(PADDING, (batch, 4 * most, 1))
    longer[:, :most] = boxes
    longer[chosen] = parts.reshape(count, 4 * most, 6)
    return joined, _compact(longer, most)


def _cut(boxes: Array, moved: Array, first: Array, last: Array, size: Array) -> Array:
    """The boxes at their new places, cut to what is seen; those of which too little is left are padding.

    Ignored boxes stay as long as anything is seen of them: what is there must not count for or against.

    Args:
        moved: corners in pixels, [..., 4].
        first, last: rows and columns between which pixels are seen, [..., 2].
        size: height and width.
    """
    near, far = np.clip(moved[..., :2], first, last), np.clip(moved[..., 2:], first, last)
    seen = (far - near).prod(axis=-1) >= VISIBLE * (moved[..., 2:] - moved[..., :2]).prod(axis=-1)
    kept = (boxes[..., 4] >= 0) & (far - near >= SMALLEST).all(axis=-1) & (seen | (boxes[..., 5] > 0))
    placed = np.concatenate([near / size, far / size, boxes[..., 4:]], axis=-1)
    return np.where(kept[..., None], placed, PADDING).astype(np.float32)


def longest(rows: int) -> int:
    """How many rows annotations of so many can have at most, when pictures were joined."""
    return -(-4 * rows // ROUNDED_TO) * ROUNDED_TO


def _compact(boxes: Array, least: int) -> Array:
    """Padding last, and no more of it than the fullest picture needs. Shapes: [B, M, 6] -> [B, at least `least`, 6]."""
    missing = boxes[..., 4] < 0
    fullest = int((~missing).sum(axis=1).max())
    length = max(least, -(-fullest // ROUNDED_TO) * ROUNDED_TO)
    order = np.argsort(missing, axis=1, kind="stable")[:, :length]
    return np.take_along_axis(boxes, order[..., None], axis=1)
